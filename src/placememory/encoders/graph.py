"""Run an ONNX file without torch: on ONNX Runtime or OpenVINO."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placememory._registry import require
from placememory.errors import SettingError, WeightsError

OPENVINO, RUNTIME = "openvino", "onnxruntime"
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    RUNTIME: "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
}
_PRECISIONS = {"auto": "f32", "float32": "f32", "bfloat16": "bf16"}
_MOST_THREADS = 4  # more do not help a network of a few milliseconds

_Run = Callable[[NDArray[Any]], NDArray[np.float32]]


class Graph:
    """An ONNX file with one input and one output, opened; threads may share it.

    Args:
        path: The ``.onnx`` file.
        device: ``cpu`` or ``onnxruntime``, ``cuda`` (ONNX Runtime's), or ``openvino`` (on the
            processor).
        precision: ``auto`` or ``float32``; on OpenVINO also ``bfloat16``.

    Attributes:
        engine: What runs it: ``onnxruntime`` or ``openvino``.
        metadata: Text stored in the file, by name.
        shape: Of the input; sides that may vary are no whole numbers.

    Raises:
        WeightsError: The file is missing or damaged.
        MissingExtraError: OpenVINO is not installed.
        SettingError: No engine here has this device or precision.
    """

    engine: str
    metadata: Mapping[str, str]
    shape: tuple[Any, ...]

    def __init__(self, path: Path, device: str = "cpu", precision: str = "auto") -> None:
        if not path.is_file():
            raise WeightsError(f"{path}: there is no such file of weights")
        if device == OPENVINO:
            self.engine = OPENVINO
            self._run = self._open_openvino(path, precision)
            return
        if precision not in ("auto", "float32"):
            raise SettingError(
                f"{path.name} runs in float32 on ONNX Runtime, not in {precision}; OpenVINO "
                "(the device 'openvino') also runs it in bfloat16"
            )
        self.engine = RUNTIME
        self._run = self._open_runtime(path, device)

    def run(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Output of an input, as a new array."""
        return self._run(x)

    def _open_runtime(self, path: Path, device: str) -> _Run:
        import onnxruntime as runtime

        provider, there = _PROVIDERS.get(device), runtime.get_available_providers()
        if provider not in there:
            known = [name for name, needed in _PROVIDERS.items() if needed in there]
            raise SettingError(
                f"exported encoders run on {', '.join(known)} here, or on {OPENVINO} where it is "
                f"installed, not on {device!r}"
            )
        options = runtime.SessionOptions()
        options.intra_op_num_threads = min(count_cores(), _MOST_THREADS)
        # Threads that wait by spinning take the cores from those that decode images.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = runtime.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:
            raise WeightsError(f"{path}: ONNX Runtime cannot read it ({error})") from error
        self.metadata = session.get_modelmeta().custom_metadata_map
        [taken] = session.get_inputs()
        self.shape = tuple(taken.shape)

        def run(x: NDArray[Any]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = session.run(None, {taken.name: x})[0]
            return found

        return run

    def _open_openvino(self, path: Path, precision: str) -> _Run:
        library = require("openvino", extra=OPENVINO, purpose="Encoders on OpenVINO")
        if precision not in _PRECISIONS:
            known = ", ".join(_PRECISIONS)
            raise SettingError(f"precision on OpenVINO is one of {known}, not {precision!r}")
        core = library.Core()
        try:
            model = core.read_model(path)
        except Exception as error:
            raise WeightsError(f"{path}: OpenVINO cannot read it ({error})") from error
        texts = model.get_rt_info(["framework"]).value if model.has_rt_info(["framework"]) else {}
        self.metadata = {name: str(value) for name, value in texts.items()}
        sides = model.input(0).get_partial_shape()
        self.shape = tuple(s.get_length() if s.is_static else None for s in sides)
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": min(count_cores(), _MOST_THREADS),
            },
        )
        # One request for all threads: with one each, OpenVINO 2026.4 was seen to lock up for good.
        request, turn = compiled.create_infer_request(), threading.Lock()

        def run(x: NDArray[Any]) -> NDArray[np.float32]:
            with turn:
                request.infer({0: x}, share_inputs=True)
                found: NDArray[np.float32] = request.get_output_tensor(0).data.copy()
            return found

        return run


def count_cores() -> int:
    """Cores that this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
