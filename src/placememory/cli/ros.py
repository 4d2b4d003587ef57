"""``placememory ros``: a ROS 2 node."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.errors import MissingExtraError


def run(
    memory: options.Memory,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Parameter of the node, odometry=/wheel/odom; repeat.", show_default=False
        ),
    ] = None,
    ros_arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--ros-arg",
            help="Argument of ROS, as -r or image_raw:=/front/image; repeat.",
            show_default=False,
        ),
    ] = None,
    managed: Annotated[
        bool,
        typer.Option("--managed", help="Leave configuring and activating to a life-cycle manager."),
    ] = False,
) -> None:
    """Localise a robot's camera as a ROS 2 node until Ctrl-C.

    Example: [b]placememory ros office.memory --set camera.topic=/front/image_raw[/b]

    Needs rclpy, which the robot's ROS 2 has. Publishes ~/pose (located only), ~/candidates,
    ~/status and /diagnostics; services ~/relocalize, ~/reset, ~/load_map, ~/save_session. All
    parameters are in docs/ros.md.
    """
    try:
        from placememory.ros.node import run as spin
    except ImportError as error:
        raise MissingExtraError(
            f"the node needs ROS 2: {error}; source its setup.bash, or see docs/ros.md"
        ) from error
    given: dict[str, Any] = dict(options.options_of(parameters or []))
    if "cameras" in given:
        given["cameras"] = str(given["cameras"]).split(",")
    spin({"memory": memory, **given}, _arguments(ros_arguments or []), autostart=not managed)


def _arguments(given: list[str]) -> list[str]:
    return ["--ros-args", *given] if given else []
