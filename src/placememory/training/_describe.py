"""Descriptors of many windows by the network as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from placememory._types import Progress, Rows
from placememory.encoders._sequence_net import SequenceNet
from placememory.training._images import Inputs, read_ahead
from placememory.training._network import Parts
from placememory.training._sampling import Descriptors

if TYPE_CHECKING:
    from accelerate import Accelerator

_BLOCK = 32
_FRAMES = 8


def describe(
    parts: Parts,
    inputs: Inputs,
    windows: Rows,
    accelerator: Accelerator,
    *,
    progress: Progress | None = None,
) -> Descriptors:
    """Windows (n, L) of rows to (n, D) float32, in evaluation mode.

    Windows that overlap are described together, so that a frame passes the trunk about once. The
    processes share the work.

    Args:
        parts: The network.
        inputs: Gives the frames, which are not changed.
        windows: Rows of frames.
        accelerator: Processes and precision.
        progress: Called with windows done, about, and in all.
    """
    parts.eval()
    order = np.lexsort(windows.T[::-1])
    blocks = [order[i : i + _BLOCK] for i in range(0, len(order), _BLOCK)]
    own = blocks[accelerator.process_index :: accelerator.num_processes]
    shown = own or blocks[:1]  # a process without work needs the shape of the others'
    jobs = ((block, np.unique(windows[block])[:, None]) for block in shown)
    found: Tensor | None = None
    done = 0
    with torch.no_grad():
        for block, x in read_ahead(jobs, inputs):
            with accelerator.autocast():
                rows = _rows(parts, x[:, 0], windows[block]).float()
            if found is None:
                found = rows.new_zeros((len(windows), rows.shape[1]))
            if own:
                found[torch.from_numpy(block).to(found.device)] = rows
            done += len(block) * accelerator.num_processes
            if progress is not None:
                progress(min(done, len(windows)), len(windows))
    assert found is not None
    summed: Tensor = accelerator.reduce(found, "sum")
    return np.asarray(summed.cpu().numpy(), np.float32)


def _rows(parts: Parts, frames: Tensor, windows: Rows) -> Tensor:
    """Unique frames of a block and its windows to descriptors (n, D)."""
    network = parts.network
    sequence = isinstance(network, SequenceNet)
    once = network.per_frame if isinstance(network, SequenceNet) else network
    states = torch.cat([once(part) for part in torch.split(frames, _FRAMES)])
    _, places = np.unique(windows, return_inverse=True)
    chosen = states[torch.from_numpy(places.reshape(windows.shape)).to(states.device)]
    if not sequence:
        return chosen[:, 0]
    assert isinstance(network, SequenceNet)
    found: Tensor = network.window(chosen)[1]
    return found
