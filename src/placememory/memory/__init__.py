"""The place memory: places with descriptors, poses and the card of their encoder."""

from placememory.memory.background import list_background
from placememory.memory.collection import import_collection
from placememory.memory.compress import CompressReport, compress
from placememory.memory.images import (
    ImageOf,
    images_folder,
    images_of,
    images_of_memory,
    no_images,
    read_image,
    recall_topics,
)
from placememory.memory.index import IndexRecall, index_recall, use_index
from placememory.memory.place import Candidate, Candidates, Place, PlaceId
from placememory.memory.place_memory import (
    UNKNOWN_ENCODER,
    PlaceMemory,
    open_memory,
)
from placememory.memory.search import Where
from placememory.memory.stores import show_address
from placememory.memory.transfer import PruneReport, copy, merge, prune, upgrade

__all__ = [
    "UNKNOWN_ENCODER",
    "Candidate",
    "Candidates",
    "CompressReport",
    "ImageOf",
    "IndexRecall",
    "Place",
    "PlaceId",
    "PlaceMemory",
    "PruneReport",
    "Where",
    "compress",
    "copy",
    "images_folder",
    "images_of",
    "images_of_memory",
    "import_collection",
    "index_recall",
    "list_background",
    "merge",
    "no_images",
    "open_memory",
    "prune",
    "read_image",
    "recall_topics",
    "show_address",
    "upgrade",
    "use_index",
]
