"""What every fusion method takes and gives."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from placememory.fusion._belief import Belief
from placememory.fusion._evidence import Evidence, Odometry


@runtime_checkable
class Fusion(Protocol):
    """Several frames' candidates -> one belief over the map. It keeps the state of one robot.

    Its first argument is the :class:`PlaceTable`; its settings are the others.
    """

    def update(self, evidence: Evidence, odometry: Odometry | None = None) -> Belief:
        """Take in the next frame.

        Args:
            evidence: Of the frame; without candidates only the motion is taken in.
            odometry: Motion since the frame before; ``None`` if unknown.

        Returns:
            The belief after this frame.

        Raises:
            InputError: Rows are not of this map, or the stamp is before the last frame's. Nothing
                has changed then. A repeated stamp is no motion.
        """

    def reset(self) -> None:
        """Forget all frames."""
