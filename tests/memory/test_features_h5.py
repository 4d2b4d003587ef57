"""hloc's feature files: layout, provenance, resuming, and what a kill leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placememory.errors import (
    DescriptorError,
    EncoderMismatchError,
    InputError,
    MemoryLockedError,
    MemoryStoreError,
)
from placememory.memory.features_h5 import FeatureReader, FeatureWriter
from tests.conftest import make_card, make_descriptors

ODD_NAMES = ["a.png", "db/cam 0/ü 漢.jpg", "a.png/b.png", "x..y/..z", "%s {0} ' \" \\", "10", "9"]


def write(path: Path, names: list[str], rows: np.ndarray, **options: object) -> Path:
    with FeatureWriter(path, make_card(rows.shape[1]), **options) as writer:
        writer.add(names, rows)
    return path


def write_like_hloc(path: Path, names: list[str], rows: np.ndarray, dtype: str = "f2") -> Path:
    """A file as hloc's extract_features writes it: no attributes."""
    for name, row in zip(names, rows, strict=True):
        with h5py.File(path, "a", libver="latest") as file:
            group = file.create_group(name)
            group.create_dataset("global_descriptor", data=row.astype(dtype))
            group.create_dataset("image_size", data=np.array([640, 480]))
    return path


def names_as_hloc_lists_them(path: Path) -> set[str]:
    names = set()
    with h5py.File(path, "r", libver="latest") as file:
        file.visititems(
            lambda _, found: (
                names.add(found.parent.name.strip("/")) if isinstance(found, h5py.Dataset) else None
            )
        )
    return names


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 0.0), ("float16", 1e-3)])
def test_what_is_written_is_read(tmp_path: Path, dtype: str, bound: float) -> None:
    rows = make_descriptors(len(ODD_NAMES))
    path = write(tmp_path / "new" / "f.h5", ODD_NAMES, rows, dtype=dtype)
    with FeatureReader(path) as reader:
        assert set(reader.names) == set(ODD_NAMES)
        np.testing.assert_allclose(reader.read(ODD_NAMES), rows, atol=bound, rtol=0)
        assert (reader.dim, reader.card) == (8, make_card())
        assert reader.read([]).shape == (0, 8)
    assert names_as_hloc_lists_them(path) == set(ODD_NAMES)
    assert [p.name for p in path.parent.iterdir()] == ["f.h5"]


def test_the_layout_is_hlocs(tmp_path: Path) -> None:
    card = make_card(fitted={"words": np.ones((300, 100), np.float32)})  # more than 64 KiB
    with FeatureWriter(tmp_path / "f.h5", card) as writer:
        writer.add(["db/1.jpg"], make_descriptors(1), [(640, 480)])
    with h5py.File(tmp_path / "f.h5", "r") as file:
        group = file["db/1.jpg"]
        assert (group["global_descriptor"].dtype, group["global_descriptor"].shape) == ("f2", (8,))
        assert (group["image_size"].dtype, group["image_size"][:].tolist()) == ("i8", [640, 480])
        assert file.attrs["placememory_encoder_hash"] == card.hash
        assert file.attrs["placememory_software"].startswith("placememory ")
    with FeatureReader(tmp_path / "f.h5") as reader:
        np.testing.assert_array_equal(reader.card.fitted["words"], card.fitted["words"])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_hlocs_own_files_are_read_in_natural_order(tmp_path: Path, dtype: str) -> None:
    names = ["db/10.jpg", "db/a/b/c/1.jpg", "db/9.jpg", "z.jpg"]
    rows = make_descriptors(4)
    path = write_like_hloc(tmp_path / "f.h5", names, rows, dtype)
    with FeatureReader(path) as reader:
        assert reader.names == ["db/9.jpg", "db/10.jpg", "db/a/b/c/1.jpg", "z.jpg"]
        assert reader.card is None
        expected = rows[[2, 0, 1, 3]].astype(dtype).astype(np.float32)
        np.testing.assert_array_equal(reader.read(), expected)


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/."), min_size=1),
        min_size=1,
        max_size=6,
        unique=True,
    ),
    folder=st.sampled_from(["", "db/", "db/cam0/"]),
)
def test_any_name_survives(tmp_path_factory, names: list[str], folder: str) -> None:
    names = [folder + name for name in names]
    rows = make_descriptors(len(names))
    path = write(tmp_path_factory.mktemp("h5") / "f.h5", names, rows, dtype="float32")
    with FeatureReader(path) as reader:
        np.testing.assert_array_equal(reader.read(names), rows)


@pytest.mark.parametrize(
    "name", ["", "/a.png", "a/", "a//b", "./a", "a\0b", "\udcff.png", "a/global_descriptor"]
)
def test_names_that_hdf5_cannot_keep_are_refused(tmp_path: Path, name: str) -> None:
    with FeatureWriter(tmp_path / "f.h5", make_card()) as writer:
        with pytest.raises(InputError, match="image name"):
            writer.add(["fine.png", name], make_descriptors(2))
        assert writer.names == set()
    assert list(tmp_path.iterdir()) == []  # nothing was described, so nothing is left


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows * [[1], [np.nan]], "NaN or infinity: b"),
        (lambda rows: rows * [[1], [0]], "zero: b"),
        (lambda rows: rows[:, :7], r"\(N, 8\)"),
        (lambda rows: rows[:1], "2 names, 1 descriptors"),
    ],
)
def test_bad_descriptors_are_refused(tmp_path: Path, change, message: str) -> None:
    with FeatureWriter(tmp_path / "f.h5", make_card()) as writer:
        with pytest.raises(DescriptorError, match=message):
            writer.add(["a", "b"], change(make_descriptors(2)))
        with pytest.raises(DescriptorError, match="1 sizes"):
            writer.add(["a", "b"], make_descriptors(2), [(1, 1)])
        with pytest.raises(InputError, match="twice"):
            writer.add(["a", "a"], make_descriptors(2))
        assert writer.names == set()


def test_resuming_adds_and_replaces(tmp_path: Path) -> None:
    path, rows = tmp_path / "f.h5", make_descriptors(4)
    write(path, ["a", "b", "c"], rows[:3], dtype="float32")
    with FeatureWriter(path, make_card(), dtype="float32") as writer:
        assert writer.names == {"a", "b", "c"}
        writer.add(["c", "d"], rows[[0, 3]], [(1, 2), (3, 4)])
        assert writer.names == {"a", "b", "c", "d"}
    with FeatureReader(path) as reader:
        np.testing.assert_array_equal(reader.read(), rows[[0, 1, 0, 3]])
    with pytest.raises(MemoryStoreError, match="closed"):
        writer.add(["e"], rows[:1])


def test_an_exception_loses_nothing(tmp_path: Path) -> None:
    def describe_and_stop() -> None:
        with FeatureWriter(tmp_path / "f.h5", make_card()) as writer:
            writer.add(["a"], make_descriptors(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        describe_and_stop()
    with FeatureReader(tmp_path / "f.h5") as reader:
        assert reader.names == ["a"]


def test_another_encoder_or_an_unknown_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "ours.h5", ["a"], make_descriptors(1))
    write_like_hloc(tmp_path / "hloc.h5", ["a"], make_descriptors(1))
    other = make_card(options={"words": 64})
    for card in (other, make_card(16)):
        with pytest.raises(EncoderMismatchError, match=r"ours\.h5.*differ in"):
            FeatureWriter(tmp_path / "ours.h5", card)
    with pytest.raises(EncoderMismatchError, match="does not say which encoder"):
        FeatureWriter(tmp_path / "hloc.h5", make_card())
    with FeatureWriter(tmp_path / "other.h5", other) as writer:
        writer.add(["b"], make_descriptors(1))
    with pytest.raises(EncoderMismatchError, match="options"):
        FeatureReader([tmp_path / "ours.h5", tmp_path / "other.h5"])
    assert not list(tmp_path.glob("*.part"))


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", make_card()) as writer:
        writer.add(["a"], make_descriptors(1))
        with pytest.raises(MemoryLockedError, match=r"f\.h5\.part"):
            FeatureWriter(tmp_path / "f.h5", make_card())
        writer.add(["b"], make_descriptors(1))
    with FeatureReader(tmp_path / "f.h5") as reader:
        assert reader.names == ["a", "b"]


def test_several_files_are_read_as_one(tmp_path: Path) -> None:
    rows = make_descriptors(5)
    first = write(tmp_path / "1.h5", ["a", "c"], rows[:2], dtype="float32")
    second = write_like_hloc(tmp_path / "2.h5", ["b", "d"], rows[2:4], "f4")
    with FeatureReader([first, second]) as reader:
        np.testing.assert_array_equal(reader.read(), rows[[0, 2, 1, 3]])
        assert reader.card == make_card()
        with pytest.raises(InputError, match=r"2\.h5: no descriptors of 2 of 3 images: 'x', 'y'"):
            reader.read(["a", "x", "y"])
    third = write_like_hloc(tmp_path / "3.h5", ["d"], rows[4:])
    with pytest.raises(InputError, match=r"'d' is in two files.*2\.h5.*3\.h5"):
        FeatureReader([first, second, third])
    long = write_like_hloc(tmp_path / "4.h5", ["e"], make_descriptors(1, dim=9))
    with pytest.raises(DescriptorError, match=r"4\.h5.*length 9, others 8"):
        FeatureReader([first, long])
    with pytest.raises(InputError, match="no feature file"):
        FeatureReader([])


def test_incomplete_and_misshapen_descriptors(tmp_path: Path) -> None:
    path = write_like_hloc(tmp_path / "f.h5", ["a", "b"], make_descriptors(2))
    with h5py.File(path, "a") as file:
        file.create_group("no-descriptor/at all")
        file.create_group("empty").create_dataset("global_descriptor", shape=(8,), dtype="f2")
        file.create_group("void").create_dataset("global_descriptor", dtype="f2")
        file.create_group("local").create_dataset("keypoints", data=np.ones((3, 2)))
    with FeatureReader(path) as reader:
        assert reader.names == ["a", "b"]
    with h5py.File(path, "a") as file:
        file.create_group("short").create_dataset("global_descriptor", data=np.ones(7))
        file.create_group("whole").create_dataset("global_descriptor", data=np.ones(8, int))
    with FeatureReader(path) as reader:
        for name in ("short", "whole"):
            with pytest.raises(DescriptorError, match=rf"f\.h5.*{name}.*\(8,\) floats"):
                reader.read([name])


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "empty.h5").touch()
    with h5py.File(tmp_path / "local.h5", "w") as file:
        file.create_group("a").create_dataset("keypoints", data=np.ones((3, 2)))
    for name, message in [
        ("text.h5", "no HDF5 file"),
        ("empty.h5", "no HDF5 file"),
        ("local.h5", "holds no global_descriptor"),
        ("missing.h5", "no such feature file"),
        (".", "no such feature file"),
    ]:
        with pytest.raises(InputError, match=rf"{tmp_path / name}.*{message}"):
            FeatureReader(tmp_path / name)


def test_a_truncated_file_gives_our_error_or_whole_descriptors(tmp_path: Path) -> None:
    rows = make_descriptors(40)
    names = [f"db/{i:02d}" for i in range(40)]
    whole = write(tmp_path / "f.h5", names, rows, dtype="float32").read_bytes()
    cut = tmp_path / "cut.h5"
    for size in range(0, len(whole), 977):
        cut.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.h5"), FeatureReader(cut) as reader:
            reader.read()


def test_a_damaged_card_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", ["a"], make_descriptors(1))
    with h5py.File(path, "a") as file:
        file.attrs["placememory_encoder_hash"] = "0" * 64
    with pytest.raises(InputError, match=r"f\.h5: the encoder card is damaged"):
        FeatureReader(path)
    with h5py.File(path, "a") as file:
        file.attrs["placememory_encoder_card"] = np.zeros(9, np.uint8)
    with pytest.raises(InputError, match=r"f\.h5: the encoder card cannot be read"):
        FeatureReader(path)


def test_a_failed_publication_keeps_everything(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "f.h5", ["a"], make_descriptors(1))
    writer = FeatureWriter(path, make_card())
    writer.add(["b"], make_descriptors(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(MemoryStoreError, match=r"f\.h5.*No space left.*f\.h5\.part"):
        writer.close()
    writer.close()
    monkeypatch.undo()
    with FeatureReader(path) as reader:
        assert reader.names == ["a"]
    FeatureWriter(path, make_card()).close()
    with FeatureReader(path) as reader:
        assert reader.names == ["a", "b"]
    assert [p.name for p in tmp_path.iterdir()] == ["f.h5"]


CHILD = """
import os, sys
import numpy as np
from placememory.memory import features_h5
from placememory.memory.features_h5 import FeatureWriter
from tests.conftest import make_card, make_descriptors

path, first, count, die_while_publishing = sys.argv[1], *map(int, sys.argv[2:])
if die_while_publishing:
    put, done = features_h5._put, []
    def put_and_die(*args):
        put(*args)
        done.append(1)
        if len(done) == die_while_publishing:
            os.kill(os.getpid(), 9)
    features_h5._put = put_and_die
rows = make_descriptors(1000)
with FeatureWriter(path, make_card(), dtype="float32") as writer:
    for start in range(first, first + count, 10):
        writer.add([str(i) for i in range(start, start + 10)], rows[start : start + 10])
        print(start + 10, flush=True)
"""


def run_child(path: Path, first: int, count: int, die_while_publishing: int) -> subprocess.Popen:
    arguments = [str(path), str(first), str(count), str(die_while_publishing)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], cwd=root, stdout=subprocess.PIPE, text=True
    )


def test_kill_9_in_mid_write_loses_nothing_that_was_added(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", ["before"], make_descriptors(1), dtype="float32")
    child = run_child(path, 0, 1000, 0)
    done = [int(child.stdout.readline()) for _ in range(7)][-1]
    child.send_signal(signal.SIGKILL)
    done = max([done, *map(int, child.stdout.read().split())])
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    with FeatureReader(path) as reader:  # as it was before
        assert reader.names == ["before"]
    with FeatureWriter(path, make_card(), dtype="float32") as writer:
        assert writer.names >= {"before", *map(str, range(done))}
        kept = sorted(int(name) for name in writer.names - {"before"})
    with FeatureReader(path) as reader:
        np.testing.assert_array_equal(reader.read(map_names(kept)), make_descriptors(1000)[kept])
        assert len(reader.names) == len(kept) + 1


def map_names(numbers: list[int]) -> list[str]:
    return [str(number) for number in numbers]


@pytest.mark.parametrize("exists", [False, True])
def test_kill_9_while_the_file_is_published(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "f.h5"
    if exists:
        write(path, ["before"], make_descriptors(1), dtype="float32")
    child = run_child(path, 0, 30, 12)
    assert child.communicate()[0].split() == ["10", "20", "30"]
    assert child.returncode == -signal.SIGKILL
    if not exists:
        with pytest.raises(InputError, match=r"f\.h5\.part keeps an interrupted extraction"):
            FeatureReader(path)
    child = run_child(path, 30, 10, 0)
    assert child.communicate()[0].split() == ["40"]
    with FeatureReader(path) as reader:
        np.testing.assert_array_equal(
            reader.read(map_names(list(range(40)))), make_descriptors(1000)[:40]
        )
        assert len(reader.names) == 40 + exists
    assert os.listdir(tmp_path) == ["f.h5"]  # noqa: PTH208


def test_an_interrupted_extraction_of_another_encoder_is_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    child = run_child(path, 0, 10, 1)
    child.communicate()
    with pytest.raises(EncoderMismatchError, match=r"f\.h5\.part.*'toy'"):
        FeatureWriter(path, make_card(options={"words": 64}))
    (tmp_path / "g.h5.part").write_bytes(b"garbage" * 1000)
    with pytest.raises(MemoryStoreError, match=r"g\.h5\.part"):
        FeatureWriter(tmp_path / "g.h5", make_card())


def test_a_small_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "feats.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "a.jpg/global_descriptor", (400_000_000,), "f4", compression="gzip", chunks=(1 << 20,)
        )[0] = 1.0
    assert path.stat().st_size < 1_000_000
    with pytest.raises(InputError, match=r"shape \(400000000,\).*at most"):
        FeatureReader(path)
