"""Training: encoders learn from traverses with poses.

:func:`train` runs a configuration; what it leaves is used as ``weights=`` everywhere. The parts:
``_data`` (windows of frames, and which show one place), ``_sampling`` and ``_sampler`` (which
windows a step sees), ``_images`` and ``_augmentation`` (the network's input), ``_losses``,
``_step`` (the gradient of a batch), ``_trainer`` (the loop) and ``_checkpoint``.
"""

from placememory.training._config import Training, read_training
from placememory.training._result import Trained, read_trained
from placememory.training._run import DryRun, dry_run, resume, train
from placememory.training.casevpr_json import read_casevpr_training

__all__ = [
    "DryRun",
    "Trained",
    "Training",
    "dry_run",
    "read_casevpr_training",
    "read_trained",
    "read_training",
    "resume",
    "train",
]
