"""Training: encoders learn from traverses with poses.

:func:`train` runs a configuration; what it leaves is used as ``weights=`` everywhere. The parts:
``_data`` (windows of frames, and which show one place), ``_sampling`` and ``_sampler`` (which
windows a step sees), ``_images`` and ``_augmentation`` (the network's input), ``_losses``,
``_step`` (the gradient of a batch), ``_setup`` and ``_trainer`` (the loop), ``_checkpoint`` and
``_folder`` (what is left on disk).
"""

from placememory.training._config import Training
from placememory.training._dry_run import DryRun, dry_run
from placememory.training._read_config import read_training
from placememory.training._result import Trained, read_trained
from placememory.training._run import resume, train
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
