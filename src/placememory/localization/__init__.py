"""Localization: the online step, its estimates, the odometry it is given, and localised runs."""

from placememory.localization.calibration import Calibration
from placememory.localization.covariance import UNKNOWN_ANGLE, MapSpread
from placememory.localization.estimate import Estimate, FrameMatch
from placememory.localization.files import RunWriter, record
from placememory.localization.fit import (
    CalibrationReport,
    calibrate,
    calibrate_on_run,
    calibrate_on_session,
)
from placememory.localization.freshness import Freshness, SameView, Timing
from placememory.localization.localizer import Localizer, Step
from placememory.localization.loops import Loop, find_loops, graph_text
from placememory.localization.odometry import MotionLimits, Motions, odometry_of
from placememory.localization.odometry_check import AxesCheck, OdometryCheck
from placememory.localization.plane import Axes, MapPlane
from placememory.localization.run import LocalizedRun, RunScore, Summary, follow, judge, localize
from placememory.localization.session import AddedRun, Drift, add_run
from placememory.localization.stream import OdometrySource, Stream, open_stream

__all__ = [
    "UNKNOWN_ANGLE",
    "AddedRun",
    "Axes",
    "AxesCheck",
    "Calibration",
    "CalibrationReport",
    "Drift",
    "Estimate",
    "FrameMatch",
    "Freshness",
    "LocalizedRun",
    "Localizer",
    "Loop",
    "MapPlane",
    "MapSpread",
    "MotionLimits",
    "Motions",
    "OdometryCheck",
    "OdometrySource",
    "RunScore",
    "RunWriter",
    "SameView",
    "Step",
    "Stream",
    "Summary",
    "Timing",
    "add_run",
    "calibrate",
    "calibrate_on_run",
    "calibrate_on_session",
    "find_loops",
    "follow",
    "graph_text",
    "judge",
    "localize",
    "odometry_of",
    "open_stream",
    "record",
]
