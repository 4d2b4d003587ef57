"""NetVLAD on VGG16: hloc's layout, Patch-NetVLAD's whitened layout, SeqNet on top; fitting it.

Arandjelović, Gronat, Torii, Pajdla, Sivic, "NetVLAD: CNN architecture for weakly supervised place
recognition", CVPR 2016: section 4 and appendix A for fitting, with the rule for alpha of its later
releases; Hausler, Garg, Xu, Milford, Fischer, "Patch-NetVLAD", CVPR 2021; Garg and Milford,
"SeqNet: Learning Descriptors for Sequence-based Hierarchical Place Recognition", RA-L 2021.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from scipy.io import loadmat
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory._io import write_bytes
from placememory._types import Progress, Vectors
from placememory.encoders.card import EncoderInfo, Options
from placememory.encoders.catalogue import wpca_weights
from placememory.encoders.checkpoint import State, load_strictly, read_checkpoint
from placememory.encoders.device import Device
from placememory.encoders.kmeans import kmeans
from placememory.encoders.layers import SequenceNet, vgg16_trunk
from placememory.encoders.network import Recipe, load_weights, read_whole
from placememory.encoders.pca import principal_components
from placememory.encoders.preprocessing import Preprocess
from placememory.encoders.sequence import SequenceEncoder
from placememory.encoders.vlad import NetVLADPool, residual_sums, start_assignment
from placememory.errors import EncoderError, WeightsError
from placememory.frames import Image, sample_evenly

CHANNELS = 512
WPCA_PREPROCESS = Preprocess(size=(480, 640))
_VGG_MEAN = (123.68, 116.779, 103.939)
_LAYERS = 35
_CORE, _WHITENING = 30, 33


def recipe(info: EncoderInfo, options: Options) -> Recipe:
    """How ``netvlad``, ``netvlad-wpca`` and ``seqnet`` are made; see :class:`Recipe`."""
    if info.name == "seqnet":
        read_whole(options, "length", 3)
        return Recipe(
            network=lambda path: load_weights(SeqNetNet(), path),
            preprocess=WPCA_PREPROCESS,
            dim=info.dim,
            published=info.weights,
            kind=SequenceEncoder,
        )
    if info.name == "netvlad":
        dim = read_whole(options, "dim", 1, info.dim)
        return Recipe(
            network=lambda path: load_netvlad(path, dim),
            preprocess=_subtract_mean,
            dim=dim,
            published=info.weights,
        )
    dim, words = read_whole(options, "dim", 1), read_whole(options, "words", 1)
    return Recipe(
        network=lambda path: load_weights(NetVLADWPCANet(words, dim), path),
        preprocess=WPCA_PREPROCESS,
        dim=dim,
        published=wpca_weights(dim, words),
    )


def load_netvlad(path: Path | None, dim: int) -> NetVLADNet:
    """The network of a MATLAB release with its mean colour; random for ``None``."""
    network = NetVLADNet(dim)
    if path is not None:
        state, network.mean = read_matlab(path)
        load_strictly(network, state, path)
    return network


def _subtract_mean(network: NetVLADNet) -> Preprocess:
    """Minus the mean colour on the 0..255 scale, which is a deviation of 1/255 on 0..1."""
    red, green, blue = (value / 255.0 for value in network.mean)
    return Preprocess(
        longest=1024,
        enlarge=False,
        interpolation="area",
        resize_on="tensor",
        mean=(red, green, blue),
        std=(1 / 255.0, 1 / 255.0, 1 / 255.0),
    )


class Aggregation(nn.Module):
    """NetVLAD with the parameters and the order of hloc's layout."""

    def __init__(self, channels: int, words: int) -> None:
        super().__init__()
        self.score_proj = nn.Conv1d(channels, words, kernel_size=1, bias=False)
        self.centers = nn.Parameter(torch.zeros(channels, words))

    def start(self, words: Vectors, features: Vectors) -> None:
        """Set words (K, C) and their assignment; see :func:`start_assignment`."""
        _, weights = start_assignment(words, features)
        with torch.no_grad():
            self.centers.copy_(torch.from_numpy(words.T))
            self.score_proj.weight.copy_(torch.from_numpy(weights)[..., None])

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, L) unit columns to (N, D * K) of unit length, word index fastest."""
        shares = self.score_proj(features).softmax(dim=1)
        sums = residual_sums(features.transpose(1, 2), shares.transpose(1, 2), self.centers.T)
        words = normalize(sums, dim=-1)
        return normalize(words.transpose(1, 2).flatten(1), dim=1)


class NetVLADNet(nn.Module):
    """(N, 3, H, W) minus the mean, 0..255 scale, to (N, dim) of unit length.

    Attributes:
        mean: Of the colours (RGB, 0..255) of the release.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.backbone = vgg16_trunk()
        self.netvlad = Aggregation(CHANNELS, 64)
        self.whiten = nn.Linear(64 * CHANNELS, 4096)
        self.mean = _VGG_MEAN
        self._dim = dim

    def vlad(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 64 * 512) of unit length, before whitening."""
        maps = self.backbone(x)
        result: Tensor = self.netvlad(normalize(maps.flatten(2), dim=1))
        return result

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, dim): whitened, cut to the first ``dim`` values, unit length."""
        whitened = normalize(self.whiten(self.vlad(x)), dim=1)
        return normalize(whitened[:, : self._dim], dim=1)


def read_matlab(path: Path) -> tuple[State, tuple[float, float, float]]:
    """State and mean colour (RGB, 0..255) of a NetVLAD release (``Pitts30K_struct.mat``).

    Raises:
        WeightsError: The file is missing, truncated, of MATLAB 7.3, or another network's.
    """
    try:
        net = loadmat(path, struct_as_record=False, squeeze_me=True)["net"]
        state = _state(list(net.layers))
        mean = np.asarray(net.meta.normalization.averageImage, dtype=np.float64)
        red, green, blue = (float(value) for value in mean.reshape(-1, 3)[0])
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WeightsError(f"{path}: there is no such file of weights") from error
    except NotImplementedError as error:
        raise WeightsError(
            f"{path}: MATLAB 7.3 files are not read; save it as version 5"
        ) from error
    except Exception as error:
        raise WeightsError(f"{path}: this is no complete NetVLAD release ({error})") from error
    return state, (red, green, blue)


def _state(layers: list[Any]) -> State:
    if len(layers) != _LAYERS:
        raise ValueError(f"{len(layers)} layers instead of {_LAYERS}")
    state: State = {}
    for index, layer in enumerate(layers[:_CORE]):
        weights = getattr(layer, "weights", None)
        if weights is not None and np.size(weights):
            kernel, bias = (_tensor(part) for part in weights)
            state[f"backbone.{index}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
            state[f"backbone.{index}.bias"] = bias
    score, minus_centres = (_tensor(part) for part in layers[_CORE].weights)
    state["netvlad.score_proj.weight"] = score.T[:, :, None].contiguous()
    state["netvlad.centers"] = -minus_centres
    matrix, bias = (_tensor(part) for part in layers[_WHITENING].weights)
    state["whiten.weight"] = matrix.T.contiguous()
    state["whiten.bias"] = bias
    return state


def _tensor(array: object) -> Tensor:
    values: NDArray[np.float32] = np.ascontiguousarray(np.squeeze(np.asarray(array, np.float32)))
    return torch.from_numpy(values)


class NetVLADWPCANet(nn.Module):
    """(N, 3, H, W) normalised RGB to (N, dim) of unit length."""

    def __init__(self, words: int = 64, dim: int = 4096) -> None:
        super().__init__()
        self.encoder = vgg16_trunk()
        self.pool = NetVLADPool(CHANNELS, words)
        self.WPCA = nn.Sequential(nn.Conv2d(words * CHANNELS, dim, 1))

    @property
    def projection(self) -> Any:
        """The whitening: weight (dim, words * 512, 1, 1) and bias (dim,)."""
        return self.WPCA[0]

    def vlad(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, words * 512) of unit length, before whitening."""
        result: Tensor = self.pool(self.encoder(x))
        return result

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, dim)."""
        return normalize(self.WPCA(self.vlad(x)[:, :, None, None]).flatten(1), dim=1)


class _TemporalConvolution(nn.Module):
    """The convolution over time under the name it has in the checkpoint."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, width)


class SeqNetNet(SequenceNet):
    """Frame descriptors of NetVLAD-WPCA, convolved over time and averaged; 4096 values each."""

    dim = 4096

    def __init__(self) -> None:
        super().__init__()
        image = NetVLADWPCANet(dim=self.dim)
        self.encoder, self.pool, self.WPCA = image.encoder, image.pool, image.WPCA
        self.seq_encoder = _TemporalConvolution(self.dim, 3)

    def per_frame(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to frame descriptors (N, 4096)."""
        vlad = self.pool(self.encoder(x))[:, :, None, None]
        return normalize(self.WPCA(vlad).flatten(1), dim=1)

    def window(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Frame descriptors (B, L, 4096) to themselves and (B, 4096) of unit length."""
        moments: Tensor = self.seq_encoder.conv(states.transpose(1, 2))
        return states, normalize(moments.mean(dim=-1), dim=-1)

    def alone(self, states: Tensor) -> Tensor:
        """Frame descriptors know no neighbours."""
        return states


_SMALLEST_VARIANCE = 1e-9
FIT_IMAGES = 500
_PER_IMAGE = 100


def fit_netvlad(
    trunk: nn.Module,
    images: Sequence[Image],
    device: Device,
    preprocess: Preprocess,
    *,
    words: int = 64,
    dim: int = 4096,
    seed: int = 0,
    progress: Progress | None = None,
) -> NetVLADWPCANet:
    """Fit clusters on 100 local features of at most 500 images, then whitening on all images.

    Args:
        trunk: VGG16 to conv5_3.
        images: (H, W, 3) uint8 RGB each, more than ``dim``; gone through twice.
        device: Where to run.
        preprocess: Of the encoder.
        words: Clusters.
        dim: Values after whitening.
        seed: Of the choice of features and of the clustering.
        progress: Called with images done and images in all, over both passes.

    Raises:
        EncoderError: There are too few images for so many values.
    """
    if len(images) <= dim:
        raise EncoderError(
            f"whitening to {dim} values needs more than {dim} images, not {len(images)}"
        )
    network = NetVLADWPCANet(words, dim)
    network.encoder.load_state_dict(trunk.state_dict())
    device.place(network.eval())
    chosen = [int(i) for i in sample_evenly(len(images), FIT_IMAGES)]
    total = len(chosen) + len(images)
    maps = _maps(network, (images[i] for i in chosen), device, preprocess)
    features = _features(_count(maps, 0, total, progress), seed)
    network.pool.start(kmeans(features, words, seed=seed), features)
    maps = _maps(network, images, device, preprocess)
    counted = _count(maps, len(chosen), total, progress)
    vlads = np.concatenate([device.run(network.pool, x).float().cpu().numpy() for x in counted])
    mean, directions, variances = principal_components(vlads, dim)
    matrix = directions / np.sqrt(variances + _SMALLEST_VARIANCE)[:, None]
    with torch.no_grad():
        network.projection.weight.copy_(torch.from_numpy(matrix)[:, :, None, None])
        network.projection.bias.copy_(torch.from_numpy(-(matrix @ mean)))
    return network


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors, in one piece."""
    state = {key: value.cpu().contiguous() for key, value in module.state_dict().items()}
    write_bytes(path, save(state))


def load_trunk(path: Path) -> nn.Module:
    """VGG16 to conv5_3 out of a NetVLAD checkpoint, or out of VGG16's own (``features.*``).

    Raises:
        WeightsError: The file holds neither.
    """
    trunk = vgg16_trunk()
    wanted = set(trunk.state_dict())
    state: State = {}
    for key, value in read_checkpoint(path).items():
        prefix, _, rest = key.partition(".")
        if prefix in ("encoder", "features", "backbone") and rest in wanted:
            state[rest] = value
    load_strictly(trunk, state, path)
    return trunk


def _maps(
    network: NetVLADWPCANet, images: Iterable[Image], device: Device, preprocess: Preprocess
) -> Iterable[Tensor]:
    """Feature map (1, 512, H, W) of each image."""
    for image in images:
        x = device.normalise(preprocess.resize(image)[None], preprocess)
        yield device.run(network.encoder, x)


def _features(maps: Iterable[Tensor], seed: int) -> Vectors:
    """At most 100 local features of each map, (N, 512) unit rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for x in maps:
        units = normalize(x.float().flatten(2), dim=1)[0].T.cpu().numpy()
        picked = rng.choice(len(units), min(_PER_IMAGE, len(units)), replace=False)
        rows.append(units[np.sort(picked)])
    features: Vectors = np.concatenate(rows).reshape(-1, CHANNELS)
    return features


def _count(
    maps: Iterable[Tensor], before: int, total: int, progress: Progress | None
) -> Iterable[Tensor]:
    for done, x in enumerate(maps, start=before + 1):
        yield x
        if progress is not None:
            progress(done, total)
