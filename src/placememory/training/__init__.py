"""Training: encoders learn from traverses with poses.

:func:`train` runs a configuration; what it leaves is used as ``weights=`` everywhere. The parts:
``_data`` (windows of frames, and which show one place), ``_sampling`` and ``_sampler`` (which
windows a step sees), ``_images`` and ``_augmentation`` (the network's input), ``_losses``,
``_step`` (the gradient of a batch), ``_setup`` and ``_trainer`` (the loop), ``_checkpoint`` and
``_folder`` (what is left on disk).
"""

from placememory.training.config import Training, read_training
from placememory.training.dry_run import DryRun, dry_run
from placememory.training.run import Trained, read_trained
from placememory.training.trainer import resume, train

__all__ = [
    "DryRun",
    "Trained",
    "Training",
    "dry_run",
    "read_trained",
    "read_training",
    "resume",
    "train",
]
