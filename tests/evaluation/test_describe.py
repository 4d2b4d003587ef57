"""Describing a traverse: each frame once, and what the cache holds not again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from placememory.errors import ImageError, InputError
from placememory.evaluation.describe import describe, fit_on, read_descriptors
from placememory.frames import list_frames
from tests.encoders.shard_toy import CARD, ShardToy
from tests.evaluation.made import write_image

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from placememory import encoders  # noqa: E402


@pytest.fixture
def frames(tmp_path: Path):
    for i in range(9):
        write_image(tmp_path / "run" / f"{i}.png", seed=i)
    return list_frames(tmp_path / "run")


def _count(encoder):
    calls, per_frame = [], encoder.module.per_frame
    encoder.module.per_frame = lambda x: calls.append(len(x)) or per_frame(x)
    return calls


def test_a_sequence_encoder_goes_on_where_it_stopped(frames, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = encoders.create("jist", "random", length=3)
    calls, cache = _count(encoder), tmp_path / "cache"
    describe(encoder, frames[:4], cache)
    assert sum(calls) == 4
    calls.clear()
    where = describe(encoder, frames, cache)
    assert sum(calls) == 7  # frames 2 and 3 again, to fill the window of frame 4
    calls.clear()
    describe(encoder, frames, cache)
    assert calls == []
    found = read_descriptors(where, frames)
    straight = list(encoder.encode_stream(frame.image() for frame in frames))
    np.testing.assert_allclose(found.descriptors, [s.frame for s in straight], atol=1e-6)
    expected = [s.sequence for s in straight if s.sequence is not None]
    assert np.isnan(found.sequences[:2]).all()
    np.testing.assert_allclose(found.sequences[2:], expected, atol=1e-6)
    calls.clear()
    describe(encoder, frames, cache, fresh=True)
    assert sum(calls) == 9


def test_an_image_encoder_describes_equal_images_once(frames, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = encoders.create("cosplace", "random", dim=32)
    seen = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    where = describe(encoder, [*frames, *frames], tmp_path / "cache", progress=progress)
    assert seen[-1] == (9, 9)
    found = read_descriptors(where, [*frames, *frames])
    np.testing.assert_array_equal(found.descriptors[:9], found.descriptors[9:])
    assert found.sequences is None
    direct = encoder.encode([frame.image() for frame in frames])
    np.testing.assert_allclose(found.descriptors[:9], direct, atol=1e-6)


def test_workers_fill_the_cache_as_one_process_does(frames, tmp_path: Path) -> None:
    log = tmp_path / "log"
    toy = ShardToy(CARD, tmp_path / "here.log")
    alone = read_descriptors(describe(toy, frames, tmp_path / "alone"), frames)
    workers = encoders.Workers(2, make=partial(ShardToy, log=log), size=4)
    where = describe(toy, frames, tmp_path / "shared", workers=workers)
    assert read_descriptors(where, frames).descriptors.tobytes() == alone.descriptors.tobytes()
    assert len(log.read_text().split()) == 9
    assert [path.suffix for path in (tmp_path / "shared").iterdir()] == [".sqlite"]


def test_a_windows_only_encoder_has_no_rows_of_frames(frames, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = encoders.create("seqvlad", "random", backbone="r18l3", length=8)
    encoder.module.alone = lambda states: None
    where = describe(encoder, frames, tmp_path / "cache")
    found = read_descriptors(where, frames)
    assert found.descriptors is None
    assert len(found) == 9
    assert found.sequences.shape == (9, 16384)
    assert np.isnan(found.sequences[:, 0]).tolist() == [True] * 7 + [False] * 2


def test_a_vocabulary_is_fitted_once(frames, tmp_path: Path, monkeypatch) -> None:
    encoder = encoders.create("lite-vlad", words=4)
    fitted = fit_on(encoder, frames, tmp_path)
    monkeypatch.setattr(type(encoder), "fit_encode", lambda *_: pytest.fail("fitted again"))
    assert fit_on(encoder, frames, tmp_path).card.hash == fitted.card.hash
    other = encoders.create("cosplace", "random", dim=32)
    assert fit_on(other, frames, tmp_path) is other


def test_bad_and_changed_images_are_named(frames, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = encoders.create("cosplace", "random", dim=32)
    where = describe(encoder, frames, tmp_path / "cache")
    frames[3].path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"3\.png changed"):
        read_descriptors(where, frames)
    with pytest.raises(ImageError, match=r"3\.png"):
        describe(encoder, frames, tmp_path / "cache")
