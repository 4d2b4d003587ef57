"""NetVLAD on VGG16, in the layout of hloc, from the MATLAB release.

Arandjelović, Gronat, Torii, Pajdla, Sivic, "NetVLAD: CNN architecture for weakly supervised place
recognition", CVPR 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from placememory._registry import require
from placememory.encoders._checkpoint import State
from placememory.encoders._layers import vgg16_trunk
from placememory.errors import WeightsError

_LAYERS = 35
_CORE, _WHITENING = 30, 33


class _Aggregation(nn.Module):
    """Soft assignment to words and residual sums, without the tensor of all residuals.

    The sum of a (x - c) over positions is a x^T - c (sum of a), so memory grows with words x
    channels only, not with positions as well.
    """

    def __init__(self, channels: int, words: int) -> None:
        super().__init__()
        self.score_proj = nn.Conv1d(channels, words, kernel_size=1, bias=False)
        self.centers = nn.Parameter(torch.zeros(channels, words))

    def forward(self, features: Tensor) -> Tensor:
        """(N, D, L) unit columns to (N, D * K) of unit length, word index fastest."""
        shares = self.score_proj(features).softmax(dim=1)
        sums = features @ shares.transpose(1, 2)
        residuals = sums - self.centers * shares.sum(dim=-1)[:, None, :]
        return normalize(normalize(residuals, dim=1).flatten(1), dim=1)


class NetVLADNet(nn.Module):
    """(N, 3, H, W) minus the mean, 0..255 scale, to (N, dim) of unit length."""

    def __init__(self, words: int = 64, whitened: int = 4096, dim: int = 4096) -> None:
        super().__init__()
        self.backbone = vgg16_trunk()
        channels = 512
        self.netvlad = _Aggregation(channels, words)
        self.whiten = nn.Linear(channels * words, whitened)
        self._dim = dim

    def vlad(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 512 * words) of unit length, before whitening."""
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
        MissingExtraError: SciPy is not installed.
    """
    scipy = require("scipy.io", extra="torch", purpose="NetVLAD's MATLAB files")
    try:
        net = scipy.loadmat(path, struct_as_record=False, squeeze_me=True)["net"]
        state = _state(list(net.layers))
        mean = np.asarray(net.meta.normalization.averageImage, dtype=np.float64)
        red, green, blue = (float(value) for value in mean.reshape(-1, 3)[0])
    except FileNotFoundError as error:
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
