"""NetVLAD's layer makes no tensor of words x positions x channels."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_flatten  # noqa: E402

from placememory.encoders.netvlad import Aggregation  # noqa: E402
from placememory.encoders.vlad import NetVLADPool  # noqa: E402


class _Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes, in values."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for part in tree_flatten(result)[0]:
            if isinstance(part, torch.Tensor):
                self.values = max(self.values, part.untyped_storage().nbytes() // 4)
        return result


@pytest.mark.parametrize("layer", [Aggregation(512, 64), NetVLADPool(512, 64)])
def test_memory_grows_with_positions_times_channels_at_most(layer) -> None:
    positions = 36 * 64  # of an image of 576 x 1024
    with torch.inference_mode(), _Largest() as seen:
        layer(torch.rand(1, 512, positions))
    assert seen.values <= 512 * positions  # the input itself; all residuals would be 64 times that
