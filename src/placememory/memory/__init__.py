"""The place memory: places with descriptors, poses and the card of their encoder."""

from placememory.memory._memory import PlaceMemory
from placememory.memory._place import Candidate, Place, PlaceId
from placememory.memory._prune import PruneReport, prune
from placememory.memory._recall import IndexRecall, index_recall
from placememory.memory._transfer import copy, merge
from placememory.memory._where import Where

__all__ = [
    "Candidate",
    "IndexRecall",
    "Place",
    "PlaceId",
    "PlaceMemory",
    "PruneReport",
    "Where",
    "copy",
    "index_recall",
    "merge",
    "prune",
]
