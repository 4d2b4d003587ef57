"""Training: encoders learn from traverses with poses.

:func:`train` runs a configuration; its weights are used as ``weights=`` everywhere. The parts:
``data`` (windows of frames, and which show one place), ``sampling`` (which windows a step sees),
``inputs`` (images or features for the network), ``network`` (which parameters are trained),
``step`` (loss, gradient, optimiser), ``validation``, ``trainer`` (the loop) and ``run`` (the files
of a run).
"""

from placememory.training.config import Training, read_training
from placememory.training.dry_run import DryRun, dry_run
from placememory.training.run import TrainingResult, read_result
from placememory.training.trainer import resume, train

__all__ = [
    "DryRun",
    "Training",
    "TrainingResult",
    "dry_run",
    "read_result",
    "read_training",
    "resume",
    "train",
]
