"""Localization: the online step, its estimates, the odometry it is given, and localised runs."""

from placememory.localization.calibration import (
    Calibration,
    CalibrationReport,
    calibrate,
    calibrate_on_session,
)
from placememory.localization.estimate import Estimate, FrameMatch
from placememory.localization.localizer import Localizer, Step
from placememory.localization.odometry import MotionLimits, Motions, odometry_of
from placememory.localization.run import (
    Localization,
    Measured,
    localize,
    localize_online,
    measure,
    measure_verdicts,
)

__all__ = [
    "Calibration",
    "CalibrationReport",
    "Estimate",
    "FrameMatch",
    "Localization",
    "Localizer",
    "Measured",
    "MotionLimits",
    "Motions",
    "Step",
    "calibrate",
    "calibrate_on_session",
    "localize",
    "localize_online",
    "measure",
    "measure_verdicts",
    "odometry_of",
]
