"""Sequence encoders: the last frames of a stream to one descriptor, one backbone pass a frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from placememory.encoders.base import Descriptors
from placememory.encoders.card import EncoderCard
from placememory.encoders.device import Device
from placememory.encoders.network import TorchEncoder
from placememory.encoders.pca import (
    Projection,
    check_projection,
    principal_components,
    to_projection,
)
from placememory.errors import EncoderError
from placememory.frames import Image

if TYPE_CHECKING:
    import torch

    from placememory.encoders.layers import SequenceNet

Row = NDArray[np.float32]


class WindowDescriptors(NamedTuple):
    """Descriptors of a window.

    Attributes:
        frames: (L, D) float32, each frame in the context of the others; ``None`` where the
            method has no frame descriptors.
        sequence: (Ds,) float32.
    """

    frames: Descriptors | None
    sequence: Row


class StreamDescriptors(NamedTuple):
    """Descriptors of the newest frame of a stream.

    Attributes:
        frame: (D,) float32, in the context of the window where the method knows one; else, and
            while the window is not full, of the frame alone. ``None`` where it describes no frames.
        sequence: (Ds,) float32 of the window that ends here; ``None`` while it is not full.
    """

    frame: Row | None
    sequence: Row | None


class SequenceEncoder(TorchEncoder):
    """The frames of a window to one sequence descriptor, and to frame descriptors where it has any.

    Sequence descriptors have unit norm, but for methods published otherwise (``jist``, and any
    with a PCA), whose candidates are therefore compared by Euclidean distance.

    Args:
        module: Its ``state_dict`` has the published keys.
        device: Where it runs.
        card: Its identity; ``card.options["length"]`` is the length of the window.
        fast: Computes the same as ``module``, faster; it is run in its place.
    """

    _module: SequenceNet
    _fast: SequenceNet

    def __init__(
        self,
        module: SequenceNet,
        device: Device,
        card: EncoderCard,
        fast: SequenceNet | None = None,
    ) -> None:
        super().__init__(module, device, card, fast)
        self._projection: Projection | None = None
        if card.fitted:
            self._projection = to_projection(card.fitted, device.torch)

    @property
    def sequence_length(self) -> int:
        """Frames of a window."""
        return int(self.card.options["length"])

    @property
    def sequence_dim(self) -> int:
        """Ds, length of a sequence descriptor."""
        return self._module.dim if self._projection is None else self.card.dim

    @property
    def module(self) -> SequenceNet:
        """The network, with exactly the published checkpoint's keys."""
        return self._module

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Normalised input (N, 3, H, W) to (N, D) float32, each frame alone.

        Raises:
            EncoderError: The method describes no single frames.
        """
        alone = self._alone(self._states(x))
        if alone is None:
            raise EncoderError(f"{self.card.name} describes windows only, not single frames")
        return alone

    def embed_window(self, x: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Normalised frames (L, 3, H, W), oldest first, to (L, D) or ``None``, and (Ds,)."""
        return self._window(self._states(x))

    def graph(self) -> torch.nn.Module:
        """There is none.

        Raises:
            EncoderError: Always; sequence encoders are not exported.
        """
        raise EncoderError(f"{self.card.name} cannot be exported: it describes windows of frames")

    def encode_window(self, images: Sequence[Image]) -> WindowDescriptors:
        """Describe one window.

        Args:
            images: As many (H, W, 3) uint8 RGB images as the window is long, oldest first.

        Raises:
            ImageError: Something is no image.
            EncoderError: There are more or fewer images.
        """
        if len(images) != self.sequence_length:
            raise EncoderError(
                f"a window of {self.card.name} has {self.sequence_length} frames, not {len(images)}"
            )
        states = [self._states(x) for x in self._inputs(images)]
        frames, sequence = self._window(_join(states))
        return WindowDescriptors(None if frames is None else _array(frames), _array(sequence))

    def encode_together(self, windows: Sequence[Sequence[Image]]) -> Descriptors:
        """Describe several windows in one batch of the network.

        As one by one, to rounding, unless the network lets the windows of a batch look at each
        other: the batch audit of an evaluation compares the two.

        Args:
            windows: B windows as :meth:`encode_window` takes them.

        Returns:
            (B, Ds) float32.

        Raises:
            ImageError: Something is no image.
            EncoderError: Frames are of several sizes, or windows of another length.
        """
        states = [_join([self._states(x) for x in self._inputs(window)]) for window in windows]
        shape = next((one.shape for one in states), None)
        if any(one.shape != shape or len(one) != self.sequence_length for one in states):
            raise EncoderError(
                f"windows of {self.card.name} that are described together have "
                f"{self.sequence_length} frames of one size each"
            )
        return _array(self._windows(_stack(states))[1])

    def stream(self) -> SequenceStream:
        """A new stream: push frames one by one, get what describes the newest."""
        return SequenceStream(self)

    def encode_stream(self, images: Iterable[Image]) -> Iterator[StreamDescriptors]:
        """Describe every frame of a traverse, and every window by its last frame."""
        stream = self.stream()
        for image in images:
            yield stream.push(image)

    def reduce(self, descriptors: NDArray[np.float32], dim: int) -> SequenceEncoder:
        """The same encoder with a PCA behind it, fitted on descriptors of sequences.

        The result is not brought to unit length again, as published with SeqVLAD.

        Args:
            descriptors: (N, Ds) of this encoder, without a PCA.
            dim: Values to keep, fewer than N.

        Raises:
            EncoderError: There are too few descriptors, or there is a PCA already.
        """
        if self._projection is not None:
            raise EncoderError(f"{self.card.name} has a PCA already; take the encoder without it")
        mean, components, _ = principal_components(descriptors, dim)
        return self.with_fitted({"mean": mean, "components": components})

    def with_fitted(self, fitted: Mapping[str, NDArray[Any]]) -> SequenceEncoder:
        """The same encoder with a PCA: ``mean`` (Ds,) and ``components`` (dim, Ds).

        Raises:
            EncoderError: The method has frame descriptors in context, which a PCA of sequence
                descriptors does not fit, or the arrays are missing or of another shape.
        """
        if not self._module.reducible:
            raise EncoderError(f"{self.card.name} takes no PCA")
        arrays = check_projection(fitted, self._module.dim)
        card = self.card.replace(fitted=arrays, dim=len(arrays["components"]))
        return SequenceEncoder(self._module, self._device, card, self._fast)

    def _states(self, x: torch.Tensor) -> torch.Tensor:
        return self._device.run(self._fast.per_frame, x)

    def _window(self, states: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        frames, sequences = self._windows(states[None])
        return (None if frames is None else self._device.unit(frames[0])), sequences[0]

    def _windows(self, states: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        """States (B, L, ...) to frames as the network gives them, and (B, Ds)."""
        frames, sequences = self._device.run(self._fast.window, states)
        if self._module.unit:
            sequences = self._device.unit(sequences)
        return frames, self._project(sequences)

    def _alone(self, states: torch.Tensor) -> torch.Tensor | None:
        alone = self._device.run(self._fast.alone, states)
        return None if alone is None else self._project(self._device.unit(alone))

    def _project(self, rows: torch.Tensor) -> torch.Tensor:
        rows = rows.float()
        if self._projection is None:
            return rows
        return (rows - self._projection.mean) @ self._projection.components.T


class SequenceStream:
    """A stream of frames through a sequence encoder; each frame is computed once.

    Args:
        encoder: Any sequence encoder; several streams may share one.
    """

    def __init__(self, encoder: SequenceEncoder) -> None:
        self._encoder = encoder
        self._states: deque[torch.Tensor] = deque(maxlen=encoder.sequence_length)

    def push(self, image: Image) -> StreamDescriptors:
        """Take the next frame.

        Args:
            image: (H, W, 3) uint8 RGB.

        Raises:
            ImageError: It is no image; the stream stays as it was.
        """
        encoder = self._encoder
        [x] = encoder._inputs([image])
        self._states.append(encoder._states(x))
        if len(self._states) < encoder.sequence_length:
            return StreamDescriptors(self._newest_alone(), None)
        frames, sequence = encoder._window(_join(list(self._states)))
        newest = self._newest_alone() if frames is None else _array(frames[-1])
        return StreamDescriptors(newest, _array(sequence))

    def _newest_alone(self) -> Row | None:
        alone = self._encoder._alone(self._states[-1])
        return None if alone is None else _array(alone[0])


def _join(states: list[torch.Tensor]) -> torch.Tensor:
    import torch

    return torch.cat(states)


def _stack(states: list[torch.Tensor]) -> torch.Tensor:
    import torch

    return torch.stack(states)


def _array(x: torch.Tensor) -> Row:
    array: Row = x.cpu().numpy()
    return array
