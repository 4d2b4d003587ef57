"""Principal components: fitted on descriptors, applied to descriptors."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from placememory.errors import EncoderError, WeightsError

if TYPE_CHECKING:
    import torch

_Floats = NDArray[np.float32]


class Projection(NamedTuple):
    """Mean (D,) and components (dim, D) as tensors on a device."""

    mean: torch.Tensor
    components: torch.Tensor


def principal_components(rows: _Floats, dim: int) -> tuple[_Floats, _Floats, _Floats]:
    """Directions of the largest variance.

    Where there are fewer rows than columns the small matrix of inner products is decomposed
    instead of the large covariance. The sign of a direction is that of its largest entry, so that
    a fit is the same everywhere.

    Args:
        rows: (N, D) float32.
        dim: How many directions, at most N - 1 and D.

    Returns:
        Mean (D,), directions (dim, D) of unit length, and the variance along each (dim,), which
        falls; all float32.

    Raises:
        EncoderError: There are too few rows for so many directions.

    Example:
        >>> rows = np.float32([[0, 0], [6, 0], [3, 0]])
        >>> mean, directions, variances = principal_components(rows, 1)
        >>> mean.tolist(), directions.tolist(), variances.tolist()
        ([3.0, 0.0], [[1.0, 0.0]], [9.0])
    """
    count, width = rows.shape
    if not 1 <= dim <= min(count - 1, width):
        raise EncoderError(
            f"{dim} principal components cannot be fitted on {count} descriptors of {width} "
            "values; give more images, or keep fewer components"
        )
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean
    if count <= width:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        directions = (centred.T @ vectors[:, ::-1][:, :dim]).T
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        directions = vectors[:, ::-1][:, :dim].T
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions / np.where(lengths > 0, lengths, 1.0)
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(dim), largest])[:, None]
    variances = np.maximum(values[::-1][:dim], 0.0) / (count - 1)
    return mean.astype(np.float32), directions.astype(np.float32), variances.astype(np.float32)


def read_projection(path: Path) -> dict[str, _Floats]:
    """Read a PCA that was made elsewhere.

    A ``.npz`` or ``.safetensors`` file has ``mean`` (D,) and ``components`` (dim, D). A ``.pkl`` is
    what ``pickle.dump`` made of scikit-learn's ``PCA``, as published with CaseVPR's SeqVLAD: only
    NumPy arrays are read out of it, none of its code runs, and scikit-learn is not needed. The
    whitening of such a PCA is in the components.

    Returns:
        ``mean`` and ``components`` as float32, for ``with_fitted`` of a sequence encoder.

    Raises:
        WeightsError: The file is missing, cannot be read, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                found = dict(file)
        else:
            found = _read_pickle(path)
        return check_projection(found, len(found["mean"]))
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such file of a PCA") from error
    except Exception as error:  # whatever damaged bytes lead to
        raise WeightsError(
            f"{path}: this is no PCA that can be read ({error or type(error).__name__}); save its "
            "mean and components as .npz"
        ) from error


class _Fields:
    """Stands for scikit-learn's object: its fields, and nothing that runs."""


_ARRAYS = {"_reconstruct", "scalar", "_frombuffer", "ndarray", "dtype"}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("sklearn.decomposition") and name == "PCA":
            return _Fields
        numpy = module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        numeric = module in ("numpy.core.numeric", "numpy._core.numeric")
        if (numpy or numeric) and name in _ARRAYS:
            return getattr(import_module(module.replace("numpy.core", "numpy._core")), name)
        if (module, name) == ("_codecs", "encode"):  # bytes of the second protocol
            return lambda text, _: text.encode("latin1")
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which could run code")


def _read_pickle(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:
        values = vars(_ArraysOnly(file).load())
    components = np.asarray(values["components_"], np.float64)
    if values.get("whiten"):
        components = components / np.sqrt(np.asarray(values["explained_variance_"]))[:, None]
    return {"mean": np.asarray(values["mean_"], np.float64), "components": components}


def check_projection(fitted: Mapping[str, NDArray[Any]], width: int) -> dict[str, _Floats]:
    """``mean`` (width,) and ``components`` (dim, width) as float32.

    Raises:
        EncoderError: They are missing or of another shape.
    """
    mean, components = fitted.get("mean"), fitted.get("components")
    if mean is None or components is None:
        raise EncoderError(
            f"a PCA is 'mean' and 'components', not {', '.join(fitted) or 'nothing'}"
        )
    if mean.shape != (width,) or components.ndim != 2 or components.shape[1] != width:
        raise EncoderError(
            f"a PCA for {width} values has a mean ({width},) and components (dim, {width}), "
            f"not {mean.shape} and {components.shape}"
        )
    return {"mean": mean.astype(np.float32), "components": components.astype(np.float32)}


def to_projection(fitted: Mapping[str, NDArray[Any]], device: torch.device) -> Projection:
    """Fitted arrays as tensors on a device."""
    import torch

    mean, components = (
        torch.as_tensor(fitted[name], dtype=torch.float32, device=device)
        for name in ("mean", "components")
    )
    return Projection(mean, components)
