"""The engine that renders the sample building: a level in, images with exact poses out."""

from __future__ import annotations

import contextlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._io import Closing
from placememory._registry import require
from placememory.errors import PlaceMemoryError, SettingError
from placememory.samples.level import UNITS_PER_METRE

VIEW_HEIGHT = 41 / UNITS_PER_METRE  #: metres from the floor to the camera

_TRIES = 40  # game tics to wait for a pose; two to four are the rule
_WARM_UP = 20  # game tics; the engine ignores turns in the first eight of a level
_YAW_TOLERANCE = 0.01  # degrees; the engine turns in steps of 0.0055
_ARGS = "+sv_cheats 1 +cl_showsecretmessage 0 +con_notifytime 0 +r_visibility 14 -nomonsters"


@dataclass(frozen=True, slots=True)
class View:
    """An image and the pose that the engine reports for it.

    Attributes:
        image: (height, width, 3) uint8 RGB.
        x: Metres, map frame.
        y: Metres, map frame.
        z: Metres, height of the camera above the map's zero.
        yaw: Radians, (-pi, pi], counter-clockwise from the map's x axis.
    """

    image: NDArray[np.uint8]
    x: float
    y: float
    z: float
    yaw: float


class World(Closing):
    """A running engine with one level, without a window; use it as a context manager.

    One metre is 32 map units of the engine. The horizontal field of view is 90 degrees.

    Args:
        level: The level as a WAD archive.
        size: Width and height of the images, one of the engine's sizes such as (320, 240).
        seed: Seed of the engine's random numbers.
        gamma: Brightness of the picture; 1 changes nothing.

    Raises:
        SettingError: The engine has no such image size.
        MissingExtraError: ViZDoom is not installed.
        PlaceMemoryError: The engine did not start.

    Example:
        >>> with World(level_bytes, size=(320, 240)) as world:  # doctest: +SKIP
        ...     world.view(4.5, 5.0, 0.0).image.shape
        (240, 320, 3)
    """

    def __init__(
        self,
        level: bytes,
        *,
        size: tuple[int, int] = (320, 240),
        seed: int = 0,
        gamma: float = 1.0,
    ) -> None:
        self._vizdoom = require("vizdoom", extra="demo", purpose="Sample buildings")
        resolution = getattr(self._vizdoom.ScreenResolution, f"RES_{size[0]}X{size[1]}", None)
        if resolution is None:
            raise SettingError(
                f"the engine renders no images of {size[0]}x{size[1]}; try 320x240 or 640x480"
            )
        self._scratch = tempfile.TemporaryDirectory(prefix="placememory-world-")
        try:
            self._game = self._start(level, resolution, seed, gamma)
        except BaseException:
            self._scratch.cleanup()
            raise

    def _start(self, level: bytes, resolution: Any, seed: int, gamma: float) -> Any:
        vizdoom, scratch = self._vizdoom, Path(self._scratch.name)
        (scratch / "building.wad").write_bytes(level)
        game = vizdoom.DoomGame()
        game.set_doom_game_path(str(Path(vizdoom.__file__).parent / "freedoom2.wad"))
        game.set_doom_scenario_path(str(scratch / "building.wad"))
        game.set_doom_config_path(str(scratch / "engine.ini"))
        game.set_doom_map("MAP01")
        game.set_screen_resolution(resolution)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        for part in ("hud", "weapon", "crosshair", "messages", "decals", "particles"):
            getattr(game, f"set_render_{part}")(False)
        game.set_render_screen_flashes(False)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_seed(seed % 2**32)
        game.set_episode_timeout(0)
        game.add_game_args(f"{_ARGS} +gamma {gamma:.2f}")
        game.set_available_buttons([vizdoom.Button.TURN_LEFT_RIGHT_DELTA])
        try:
            with contextlib.chdir(scratch):  # the engine makes a folder where it starts
                game.init()
        except Exception as error:
            raise PlaceMemoryError(f"the engine ViZDoom did not start: {error}") from error
        game.send_game_command("god")
        game.make_action([0.0], _WARM_UP)
        return game

    def view(self, x: float, y: float, yaw: float) -> View:
        """Look from a place.

        The engine moves the camera through walls, so keep to the free cells of the plan's grid.

        Args:
            x: Metres; rounded to whole map units of 1/32 m.
            y: Metres; rounded likewise.
            yaw: Radians, counter-clockwise from the map's x axis.

        Returns:
            The image with the pose that the engine reads back.

        Raises:
            PlaceMemoryError: The engine did not take up the pose within 40 game tics.
        """
        target = (round(x * UNITS_PER_METRE), round(y * UNITS_PER_METRE))
        self._game.send_game_command(f"warp {target[0]} {target[1]}")
        self._game.make_action([0.0], 1)
        variable = self._vizdoom.GameVariable
        for _ in range(_TRIES):
            error = math.degrees(yaw) - self._read(variable.ANGLE)
            error = (error + 180) % 360 - 180
            settled = self._read(variable.VIEW_HEIGHT) == VIEW_HEIGHT * UNITS_PER_METRE
            if settled and abs(error) < _YAW_TOLERANCE:
                return self._capture(target)
            self._game.make_action([-error], 1)
        raise PlaceMemoryError(
            f"the engine did not reach ({x:.2f}, {y:.2f}) m at {math.degrees(yaw):.1f} degrees"
        )

    def _capture(self, target: tuple[int, int]) -> View:
        variable = self._vizdoom.GameVariable
        x, y = self._read(variable.POSITION_X), self._read(variable.POSITION_Y)
        if max(abs(x - target[0]), abs(y - target[1])) > 1e-3:
            raise PlaceMemoryError(f"the engine stands at ({x}, {y}) instead of {target} units")
        yaw = math.radians((self._read(variable.ANGLE) + 180) % 360 - 180)
        return View(
            image=np.array(self._game.get_state().screen_buffer),
            x=x / UNITS_PER_METRE,
            y=y / UNITS_PER_METRE,
            z=self._read(variable.POSITION_Z) / UNITS_PER_METRE + VIEW_HEIGHT,
            yaw=yaw,
        )

    def _read(self, variable: Any) -> float:
        return float(self._game.get_game_variable(variable))

    def close(self) -> None:
        """Stop the engine and remove its scratch files; a second call does nothing."""
        self._game.close()
        self._scratch.cleanup()
