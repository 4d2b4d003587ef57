"""Entry point of the node."""

from placememory.ros.node import main

__all__ = ["main"]
