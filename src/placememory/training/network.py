"""The network of a training: which parameters are trained, how it runs, its state."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory._types import Rows
from placememory.encoders import Encoder, FittableEncoder, TorchEncoder
from placememory.encoders.checkpoint import read_checkpoint
from placememory.encoders.kmeans import kmeans
from placememory.encoders.layers import SequenceNet
from placememory.encoders.netvlad import NetVLADNet
from placememory.encoders.vlad import NetVLADPool
from placememory.errors import EncoderError, SettingError, WeightsError
from placememory.training.config import EncoderChoice
from placememory.training.data import TrainingSet
from placememory.training.inputs import Inputs

_TRUNKS = ("trunk", "backbone", "encoder", "model.backbone")
_NORMS = (nn.modules.batchnorm._BatchNorm,)


class TrainableNet(nn.Module):
    """Windows of frames to descriptors, by the network of any encoder.

    Args:
        network: Of a frame encoder: (N, 3, H, W) to (N, D); or a sequence network.

    Attributes:
        network: With the published keys.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """Windows (B, L, ...) of normalised frames.

        Returns:
            Descriptors of each frame alone (B, L, D), or ``None`` where the method has none, and
            of the windows (B, Ds); frame encoders have windows of one frame.
        """
        frames = x.flatten(0, 1)
        if not isinstance(self.network, SequenceNet):
            rows = self.network(frames)
            return rows[:, None], rows
        states = self.network.per_frame(frames)
        alone = self.network.alone(states)
        _, windows = self.network.window(torch.unflatten(states, 0, x.shape[:2]))
        return None if alone is None else torch.unflatten(alone, 0, x.shape[:2]), windows


class Passing(nn.Module):
    """Replaces a frozen trunk where its output is the input."""

    def forward(self, features: Tensor) -> Tensor:
        """Features as they are."""
        return features


class Parts:
    """The network of an encoder, its trunk, and which of its parameters are trained.

    Args:
        encoder: A frame or sequence encoder with a network of its own; its parameters are set to
            require gradients or not.
        choice: What to train.

    Attributes:
        net: Runs windows.
        trained: Names of the trained parameters, in the network's keys.

    Raises:
        EncoderError: The encoder has no parameters that could be trained.
        SettingError: Nothing is called as ``choice.train`` says.
    """

    def __init__(self, encoder: Encoder, choice: EncoderChoice) -> None:
        if not isinstance(encoder, TorchEncoder) or isinstance(encoder, FittableEncoder):
            raise EncoderError(
                f"{choice.name} is fitted on the images of a map, not trained; "
                "train one with a network, such as lite-net"
            )
        self.net = TrainableNet(encoder.module)
        self.trunk_name = next(
            (n for n in _TRUNKS if _submodule(encoder.module, n) is not None), None
        )
        self._frozen_norms = choice.batchnorm == "frozen"
        self._swapped: nn.Module | None = None
        self.trained = tuple(choose_parameters(encoder.module, self.trunk_name, choice))
        if not self.trained:
            raise SettingError(
                f"encoder.train = {choice.train!r} names no parameter of {choice.name}; its parts "
                f"are {', '.join(name for name, _ in encoder.module.named_children())}"
            )
        wanted = set(self.trained)
        for name, parameter in encoder.module.named_parameters():
            parameter.requires_grad_(name in wanted)
        if choice.trunk is not None:
            load_trunk(self.trunk, Path(choice.trunk))

    @property
    def network(self) -> nn.Module:
        """The encoder's network."""
        return self.net.network

    @property
    def trunk(self) -> nn.Module:
        """What describes the image before the method's own head.

        Raises:
            SettingError: The network has no part that is known as its trunk.
        """
        if self.trunk_name is None:
            raise SettingError("this network has no trunk; name parameters in encoder.train")
        found: nn.Module = self.network.get_submodule(self.trunk_name)
        return found

    def train(self) -> None:
        """Training mode where something is trained; all else, and frozen norms, in evaluation mode.

        A frozen part in training mode would change: batch norms follow the batches, dropout drops.
        """
        self._set_mode(self.net, trained=True)

    def eval(self) -> None:
        """Evaluation mode."""
        self.net.eval()

    def _set_mode(self, module: nn.Module, *, trained: bool) -> None:
        """Modules without parameters, such as dropout, do as the part they stand in."""
        own = [parameter.requires_grad for parameter in module.parameters()]
        trained = any(own) if own else trained
        module.training = trained and not (self._frozen_norms and isinstance(module, _NORMS))
        for child in module.children():
            self._set_mode(child, trained=trained)

    def take_out_trunk(self) -> nn.Module:
        """Take the frozen trunk out: from now on the network is given the trunk's output."""
        trunk = self.trunk
        assert self.trunk_name is not None
        _replace(self.network, self.trunk_name, Passing())
        self._swapped = trunk
        return trunk

    def state(self) -> dict[str, Tensor]:
        """Tensors under the published keys, the trunk among them."""
        state = {name: value.detach() for name, value in self.network.state_dict().items()}
        if self._swapped is not None:
            prefix = f"{self.trunk_name}."
            state |= {prefix + k: v.detach() for k, v in self._swapped.state_dict().items()}
        return {name: value.contiguous() for name, value in sorted(state.items())}

    def load(self, state: dict[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""
        mine = self.network.state_dict()
        self.network.load_state_dict({name: state[name] for name in mine}, strict=True)

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and trained parameters."""
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                yield name, parameter

    def depth_of(self, name: str) -> int | None:
        """Blocks of the trunk above a parameter's, 0 for the last; ``None`` outside the trunk."""
        if self.trunk_name is None or not name.startswith(f"{self.trunk_name}."):
            return None
        blocks = _blocks(self.trunk)
        inside = name.removeprefix(f"{self.trunk_name}.")
        if inside.startswith("norm."):  # of a transformer: behind its last block
            return 0
        for depth, (prefix, _) in enumerate(reversed(blocks)):
            if inside.startswith(f"{prefix}."):
                return depth
        return len(blocks)

    def counts(self) -> tuple[int, int]:
        """Trained and frozen parameters."""
        trained = sum(p.numel() for _, p in self.trained_parameters())
        whole = sum(p.numel() for p in self.network.parameters())
        if self._swapped is not None:
            whole += sum(p.numel() for p in self._swapped.parameters())
        return trained, whole - trained


def load_trunk(trunk: nn.Module, path: Path) -> None:
    """Load weights of a trunk alone; adapters, which its publisher does not have, stay as they are.

    Raises:
        WeightsError: The file cannot be read, or holds another network's weights.
    """
    wanted, state = trunk.state_dict(), read_checkpoint(path)
    missing = [key for key in wanted if key not in state and "adapter" not in key.lower()]
    shapes = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    if missing or shapes:
        raise WeightsError(
            f"{path}: these are not weights of this trunk; missing or of another shape: "
            f"{', '.join((missing + shapes)[:4])}"
        )
    trunk.load_state_dict({k: state.get(k, value) for k, value in wanted.items()})


def choose_parameters(network: nn.Module, trunk: str | None, choice: EncoderChoice) -> list[str]:
    """Names of the parameters that ``choice.train`` means."""
    names = [name for name, _ in network.named_parameters()]
    inside = [] if trunk is None else [n for n in names if n.startswith(f"{trunk}.")]
    head = [name for name in names if name not in set(inside)]
    what = choice.train
    if what == "all":
        return names
    if what == "head":
        return head
    if what == "adapters":
        return head + _adapters(inside, choice.adapter_blocks)
    if isinstance(what, str) and (match := re.fullmatch(r"last:(\d+)", what)):
        blocks = _blocks(network.get_submodule(trunk)) if trunk else []
        last = tuple(
            f"{trunk}.{prefix}." for prefix, _ in blocks[max(0, len(blocks) - int(match[1])) :]
        )
        return head + [name for name in inside if name.startswith(last)]
    patterns = (what,) if isinstance(what, str) else what
    return [n for n in names if any(fnmatch.fnmatchcase(n, pattern) for pattern in patterns)]


def _adapters(names: Sequence[str], blocks: int | None) -> list[str]:
    """Parameters of adapters, of the last blocks only where a number is given."""
    found = [name for name in names if "adapter" in name.lower()]
    numbers = [[int(n) for n in re.findall(r"\.(\d+)\.", name)[:1]] for name in found]
    last = max((n[0] for n in numbers if n), default=0)
    least = -math.inf if blocks is None else last - blocks + 1
    return [name for name, n in zip(found, numbers, strict=True) if not n or n[0] >= least]


def _blocks(trunk: nn.Module) -> list[tuple[str, nn.Module]]:
    """Blocks of a trunk in order: those of its module ``blocks``, or its children with weights."""
    above = next((n for n, _ in trunk.named_modules() if n.split(".")[-1] == "blocks"), "")
    while True:
        found = trunk.get_submodule(above)
        prefix = f"{above}." if above else ""
        children = [
            (prefix + key, child)
            for key, child in found.named_children()
            if next(child.parameters(), None) is not None
        ]
        if len(children) != 1 or not list(children[0][1].named_children()):
            return children
        above = children[0][0]


def _submodule(module: nn.Module, name: str) -> nn.Module | None:
    try:
        return module.get_submodule(name)
    except AttributeError:
        return None


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    above, _, last = name.rpartition(".")
    setattr(network.get_submodule(above) if above else network, last, module)


_WINDOWS, _FRAMES, _PER_WINDOW, _AT_ONCE = 500, 2000, 100, 8


def initialise(parts: Parts, inputs: Inputs, data: TrainingSet, seed: int) -> None:
    """Set the clusters of a VLAD by k-means (Arandjelović et al., CVPR 2016, appendix A).

    Args:
        parts: The network; its trunk stays as it is.
        inputs: Gives images, or features of a frozen trunk.
        data: The training set, of which 500 windows are used; 2,000 frames where the network
            starts its own head.
        seed: Of the choice and of k-means.

    Raises:
        SettingError: The network has no clusters.
    """
    draw = np.random.default_rng((seed, 4))
    parts.eval()
    own = getattr(parts.network, "initialise", None)
    if own is not None:
        own(_run_trunk(parts, inputs, _sample_windows(data.database[:, :1], _FRAMES, draw)))
        return
    windows = _sample_windows(data.database, _WINDOWS, draw)
    pool = next((m for m in parts.network.modules() if isinstance(m, NetVLADPool)), None)
    if pool is not None:
        features = _pool_features(pool, parts, inputs, windows, draw)
        pool.start(kmeans(features.numpy(), len(pool.centroids), seed=seed), features.numpy())
    elif isinstance(parts.network, NetVLADNet):
        maps = normalize(_run_trunk(parts, inputs, windows[:, :1]).flatten(2), dim=1)
        features = _sample_columns(maps, draw)
        head = parts.network.netvlad
        head.start(kmeans(features.numpy(), head.centers.shape[1], seed=seed), features.numpy())
    else:
        raise SettingError("encoder.initialise: this encoder has no clusters to set")


def _sample_windows(windows: Rows, most: int, draw: np.random.Generator) -> Rows:
    """Some of the windows, each once, in order."""
    count = min(most, len(windows))
    return windows[np.sort(draw.choice(len(windows), count, replace=False))]


def _pool_features(
    pool: NetVLADPool, parts: Parts, inputs: Inputs, windows: Rows, draw: np.random.Generator
) -> Tensor:
    """(n, C) unit local features that reach the pool for some windows."""
    seen: list[Tensor] = []

    def record(features: Tensor) -> Tensor:
        seen.append(_sample_columns(normalize(features.float().flatten(2), dim=1), draw))
        return NetVLADPool.sums(pool, features)

    pool.sums = record  # type: ignore[method-assign]
    try:
        with torch.no_grad():
            for window in windows:
                parts.net(inputs(window[None]))
    finally:
        del pool.sums
    return torch.cat(seen)


def _run_trunk(parts: Parts, inputs: Inputs, windows: Rows) -> Tensor:
    """Feature maps (n, C, H, W) of frames (n, 1)."""
    with torch.no_grad():
        blocks = [windows[i : i + _AT_ONCE] for i in range(0, len(windows), _AT_ONCE)]
        return torch.cat([parts.trunk(inputs(block)[:, 0]).cpu() for block in blocks])


def _sample_columns(features: Tensor, draw: np.random.Generator) -> Tensor:
    """Some columns of (N, C, P) features, as rows."""
    columns = features.cpu().transpose(1, 2).flatten(0, 1)
    most = _PER_WINDOW * len(features)
    if len(columns) <= most:
        return columns
    return columns[torch.from_numpy(draw.choice(len(columns), most, replace=False))]
