"""CaseVPR's training JSON."""

from pathlib import Path
from typing import Any


def read_casevpr_training(path: Path) -> Any:
    """Read it."""
    raise NotImplementedError
