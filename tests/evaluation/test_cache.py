"""The cache of descriptors: by content, in transactions, for several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from placememory.encoders import EncoderCard
from placememory.errors import PlaceMemoryError
from placememory.evaluation.cache import (
    DescriptorCache,
    cache_path,
    frame_key,
    joint_key,
    window_keys,
)
from placememory.frames import Frame, read_image
from tests.conftest import make_card
from tests.evaluation.made import write_image


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    row, window = np.float32([1, 2, 3]), np.float32([4, 5])
    with DescriptorCache(tmp_path / "a.sqlite") as cache:
        cache.put([(b"1", row, None), (b"2", None, window)])
        found = cache.get([b"1", b"2", b"3"])
        assert cache.select_known([b"1", b"3"]) == {b"1"}
    assert set(found) == {b"1", b"2"}
    np.testing.assert_array_equal(found[b"1"][0], row)
    assert found[b"1"][1] is None
    np.testing.assert_array_equal(found[b"2"][1], window)


def test_many_keys_at_once(tmp_path: Path) -> None:
    keys = [str(i).encode() for i in range(2500)]
    with DescriptorCache(tmp_path / "a.sqlite") as cache:
        cache.put((key, np.float32([i]), None) for i, key in enumerate(keys))
        found = cache.get(keys)
    assert all(found[key][0][0] == i for i, key in enumerate(keys))


def test_fitted_cards_are_kept(tmp_path: Path) -> None:
    card = make_card(fitted={"words": np.float32([[1, 2]])})
    with DescriptorCache(tmp_path / "a.sqlite") as cache:
        assert cache.get_card(b"k") is None
        cache.put_card(b"k", card)
        assert cache.get_card(b"k").hash == card.hash


def test_another_encoder_has_another_file(tmp_path: Path) -> None:
    cards: list[EncoderCard] = [make_card(), make_card(options={"a": 1}), make_card(dim=9)]
    assert len({cache_path(tmp_path, card) for card in cards}) == 3


def test_what_is_no_cache_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_text("nothing of ours, but long enough to be looked at as a database header " * 9)
    with pytest.raises(PlaceMemoryError, match="cannot use the cache"):
        DescriptorCache(path)


def test_a_key_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, 1)
    frame = Frame("a.png", "run", 0, read=partial(read_image, path))
    before = frame_key(frame)
    assert frame_key(frame) == before
    write_image(path, 2)
    os.utime(path, (1, 1))
    assert frame_key(frame) != before
    images = [np.full((2, 3, 3), shade, np.uint8) for shade in (0, 0, 1)]
    keys = [frame_key(Frame("v", "run", i, read=lambda i=i: images[i])) for i in range(3)]
    assert keys[0] == keys[1] != keys[2]


def test_windows_are_told_apart_by_all_their_frames() -> None:
    keys = [b"a", b"b", b"c", b"b", b"c"]
    found = window_keys(keys, 2)
    assert found[2] == found[4]  # b c
    assert len(set(found)) == 4
    assert joint_key([b"ab", b"c"]) != joint_key([b"a", b"bc"])


_WRITER = """
import sys, numpy as np
from pathlib import Path
from placememory.evaluation.cache import DescriptorCache
with DescriptorCache(Path(sys.argv[1])) as cache:
    for i in range(10**6):
        keys = [f"{sys.argv[2]}-{i}-{j}".encode() for j in range(8)]
        cache.put((key, np.full(64, i, np.float32), None) for key in keys)
        print(i, flush=True)
"""


def test_a_kill_leaves_whole_batches_and_others_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), name], stdout=subprocess.PIPE, text=True
        )
        for name in ("first", "second")
    ]
    for writer in writers:
        for _ in range(5):
            assert writer.stdout.readline()
    time.sleep(0.05)
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    with DescriptorCache(path) as cache:
        for name in ("first", "second"):
            for i in range(5):
                keys = [f"{name}-{i}-{j}".encode() for j in range(8)]
                found = cache.get(keys)
                assert len(found) == 8
                assert all((row[0] == i).all() for row in found.values())
            last = [
                len(cache.get([f"{name}-{i}-{j}".encode() for j in range(8)])) for i in range(2000)
            ]
            assert set(last) <= {0, 8}
        cache.put([(b"more", np.float32([1]), None)])
