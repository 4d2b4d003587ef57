"""What every sequence network is: work that a frame needs once, and work that a window needs."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class SequenceNet(nn.Module, ABC):
    """A network in two parts, so that a stream costs one backbone pass per new frame.

    ``window(per_frame(x))`` of the frames of a window is the descriptor of that window, whether
    the states were computed together or one by one while the frames came in.

    Attributes:
        dim: Length of a sequence descriptor.
        unit: Whether sequence descriptors are of unit norm.
        reducible: Whether a PCA may stand behind it: it has no frame descriptors in context.
    """

    dim: int
    unit: bool = True
    reducible: bool = False

    @abstractmethod
    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) normalised RGB to (N, ...): all that does not depend on the neighbours."""

    @abstractmethod
    def window(self, states: Tensor) -> tuple[Tensor | None, Tensor]:
        """States (B, L, ...) of B windows of L frames, oldest first.

        Returns:
            Descriptors of the frames (B, L, D), or ``None`` where the network has none, and
            descriptors of the windows (B, Ds).
        """

    def alone(self, states: Tensor) -> Tensor | None:  # noqa: ARG002
        """States (N, ...) to descriptors (N, D) of single frames; ``None`` if there are none."""
        return None

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """One window (L, 3, H, W) to what :meth:`window` gives for it, without the batch."""
        frames, sequences = self.window(self.per_frame(x)[None])
        return (None if frames is None else frames[0]), sequences[0]
