"""How good the network is: descriptors of windows by the network as it is, and their recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from placememory._types import Progress, Rows
from placememory.encoders.layers import SequenceNet
from placememory.errors import SettingError
from placememory.memory.search import nearest
from placememory.metrics import Recall, RecallResult, SequenceWindows, sequence_truth
from placememory.metrics.sequences import Strategy
from placememory.training.data import TrainingSet
from placememory.training.inputs import Inputs, read_ahead
from placememory.training.network import Parts
from placememory.training.sampling import Descriptors

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


KS = (1, 5, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Recall on the validation sets.

    Attributes:
        recall: Of windows, or of frames where a window is one; with protocol and intervals.
        hits: (Q,) float64, 1 where the first window that was found is right, for each query that
            has a right one.
    """

    recall: RecallResult
    hits: NDArray[np.float64]

    @property
    def score(self) -> float:
        """Mean of recall@1 and recall@5, 0 to 1, by which the best epoch is chosen."""
        recalls = self.recall.recalls
        return 0.5 * (recalls[1].value + recalls[5].value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the log."""
        recalls = self.recall.recalls
        return {
            **{f"recall@{k}": recall.value for k, recall in recalls.items()},
            "score": self.score,
            "intervals": {f"recall@{k}": [r.low, r.high] for k, r in recalls.items()},
            "protocol": self.recall.protocol,
            "hits": "".join(str(int(hit)) for hit in self.hits),
        }


def validate(
    sets: Sequence[TrainingSet],
    described: Sequence[tuple[Descriptors, Descriptors]],
    radius: float,
    strategy: Strategy,
) -> Validation:
    """Search the windows of each set's queries among its database.

    Args:
        sets: Validation or test sets.
        described: Descriptors of the queries (Q, D) and of the database (W, D) of each.
        radius: A match is right within it, in the unit of the positions.
        strategy: Which windows are right.

    Raises:
        SettingError: No query has a right window, so that nothing could be chosen by it.
    """
    metric = Recall(KS)
    hits: list[float] = []
    for part, (query_rows, database_rows) in zip(sets, described, strict=True):
        queries = SequenceWindows(part.queries, part.queries)
        database = SequenceWindows(part.database, part.database)
        ranked, _ = nearest(database_rows, query_rows, KS[-1])
        truth = sequence_truth(
            queries,
            database,
            part.positions,
            part.positions,
            radius=radius,
            strategy=strategy,
        )
        metric.update(ranked, truth)
        hits += truth.correct(ranked[:, 0])[truth.on_map()].astype(np.float64).tolist()
    if not hits:
        raise SettingError(
            f"no query to validate on has a window within {radius:g} of it; check "
            "the positions, the radius and what is searched"
        )
    return Validation(metric.compute(), np.array(hits))
