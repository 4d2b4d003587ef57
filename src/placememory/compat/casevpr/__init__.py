"""CaseVPR: its published protocol with its own counts, and its JSON configurations.

Li et al., "CaseVPR: Correlation-Aware Sequential Embedding for Sequence-to-Frame Visual Place
Recognition", IEEE RA-L 10(4), 2025. The quirks of its code are in this package and nowhere else.
"""

from placememory.compat.casevpr.evaluation_json import CasevprEvaluation, read_casevpr
from placememory.compat.casevpr.names import NAMES, Paths
from placememory.compat.casevpr.pipeline import explain_small_maps, run_published
from placememory.compat.casevpr.reproduce import Cell, Reproduction
from placememory.compat.casevpr.sequences_json import device_of, read_casevpr_sequences
from placememory.compat.casevpr.training_json import read_casevpr_training

__all__ = [
    "NAMES",
    "CasevprEvaluation",
    "Cell",
    "Paths",
    "Reproduction",
    "device_of",
    "explain_small_maps",
    "read_casevpr",
    "read_casevpr_sequences",
    "read_casevpr_training",
    "run_published",
]
