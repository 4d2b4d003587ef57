"""The sequence pipeline: descriptors stream in, each window is matched to the map.

NumPy only, so descriptors of any encoder can be fed in.
"""

from placememory._types import Protocol
from placememory.matching._windows import Similarity
from placememory.pipeline._create import create
from placememory.pipeline._described import TraverseDescriptors
from placememory.pipeline._result import QueryResult, Skipped
from placememory.pipeline._stream import SequencePipeline
from placememory.pipeline.casevpr import CasevprPipeline

__all__ = [
    "CasevprPipeline",
    "Protocol",
    "QueryResult",
    "SequencePipeline",
    "Similarity",
    "Skipped",
    "TraverseDescriptors",
    "create",
]
