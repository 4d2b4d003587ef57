"""Building: resuming, bad images, changed folders, feature files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from placememory.encoders import Encoder
from placememory.errors import EncoderMismatchError, ImageError, InputError, MemoryLockedError
from placememory.frames import Frame, Pose, list_frames
from placememory.memory import PlaceMemory, list_background
from placememory.memory.build import build, build_from_features, feature_frames
from placememory.memory.features_h5 import FeatureWriter
from placememory.memory.report import BuildReport
from placememory.memory.sample import SampleFile, sample_path
from tests.conftest import make_card, make_descriptors
from tests.crash.commands import Words, coloured_frames


def build_report(uri, frames, encoder, **how) -> BuildReport:
    """Build, close, and give the report."""
    with build(uri, frames, encoder=encoder, **how) as memory:
        assert memory.report is not None
        return memory.report


def features_report(uri, features, frames) -> BuildReport:
    """Build from feature files, close, and give the report."""
    with build_from_features(uri, features, frames) as memory:
        assert memory.report is not None
        return memory.report


class Thumbnails(Encoder):
    """A tiny encoder without torch: colours of a 4x4 thumbnail."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.card = make_card(48)
        self.encoded = 0
        self.fail_after = fail_after

    @property
    def module(self):
        raise NotImplementedError

    def embed(self, x):
        raise NotImplementedError

    def encode(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.encoded += len(images)
        if self.fail_after is not None and self.encoded > self.fail_after:
            raise KeyboardInterrupt
        small = [np.array(PillowImage.fromarray(image).resize((4, 4))) for image in images]
        rows = np.array([image.ravel() for image in small], np.float32) + 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "run1"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(30):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        PillowImage.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_an_interrupted_build_goes_on(images: Path, tmp_path: Path) -> None:
    uri = tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        build_report(uri, list_frames(images), Thumbnails(fail_after=20), batch=8)
    with PlaceMemory.open(uri) as memory:
        assert len(memory) == 16
    encoder = Thumbnails()
    report = build_report(uri, list_frames(images), encoder, batch=8)
    assert (report.added, report.present) == (14, 16)
    assert encoder.encoded == 14 + len(list_background())  # which say what other places are like
    again = build_report(uri, list_frames(images), Thumbnails(), batch=8)
    assert (again.added, again.present, again.moved) == (0, 30, 0)


def test_a_bad_image_is_named_or_skipped_and_counted(images: Path, tmp_path: Path) -> None:
    (images / "7.png").write_bytes((images / "7.png").read_bytes()[:60])
    with pytest.raises(ImageError, match=r"7\.png.*--skip-bad"):
        build_report(tmp_path / "a", list_frames(images), Thumbnails())
    report = build_report(tmp_path / "b", list_frames(images), Thumbnails(), skip_bad=True)
    assert report.added == 29
    assert [name for name, _ in report.bad] == ["7.png"]
    with PlaceMemory.open(tmp_path / "b") as memory:
        assert [p.index for p in memory.places] == [i for i in range(30) if i != 7]


def test_a_changed_folder_is_refused(images: Path, tmp_path: Path) -> None:
    build_report(tmp_path / "m", list_frames(images), Thumbnails())
    shutil.copy(images / "3.png", images / "3b.png")
    with pytest.raises(InputError, match="the folder has changed"):
        build_report(tmp_path / "m", list_frames(images), Thumbnails())
    assert (
        build_report(tmp_path / "m", list_frames(images, session="again"), Thumbnails()).added == 31
    )


def test_poses_that_come_later_are_taken_without_encoding(images: Path, tmp_path: Path) -> None:
    frames = list_frames(images)
    assert build_report(tmp_path / "m", frames, Thumbnails()).without_pose == 30
    posed = [replace(frame, pose=Pose(frame.index, 0.0)) for frame in frames]
    encoder = Thumbnails()
    report = build_report(tmp_path / "m", posed, encoder)
    assert (report.moved, report.added, encoder.encoded) == (30, 0, 0)
    with PlaceMemory.open(tmp_path / "m") as memory:
        assert memory.places[12].pose == Pose(12.0, 0.0)


def test_another_encoder_is_refused(images: Path, tmp_path: Path) -> None:
    build_report(tmp_path / "m", list_frames(images), Thumbnails())
    other = Thumbnails()
    other.card = make_card(48, options={"x": 1})
    with pytest.raises(EncoderMismatchError):
        build_report(tmp_path / "m", list_frames(images, session="other"), other)


def test_feature_files_become_a_memory(tmp_path: Path) -> None:
    path, names = tmp_path / "feats.h5", ["db/2.jpg", "db/10.jpg", "db/1.jpg"]
    with FeatureWriter(path, make_card(8), dtype="float32") as writer:
        writer.add(names, make_descriptors(3))
    frames = feature_frames(path, "db")
    assert [f.name for f in frames] == ["db/1.jpg", "db/2.jpg", "db/10.jpg"]
    report = features_report(tmp_path / "m", path, frames)
    assert report.added == 3
    with PlaceMemory.open(tmp_path / "m", encoder=make_card(8)) as memory:
        np.testing.assert_allclose(memory.descriptors, make_descriptors(3)[[2, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("store", ["sqlite", "lite"])
def test_a_killed_build_command_resumes(building, tmp_path: Path, store: str) -> None:
    if store == "lite":
        pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")
    images = tmp_path / "run"
    images.mkdir()
    for i, path in enumerate(sorted(building.mapping.glob("*.png")) * 16):  # more than a fit takes
        os.link(path, images / f"{i:04d}.png")
    uri = f"milvus-lite:{tmp_path / 'm'}" if store == "lite" else str(tmp_path / "m")
    command = [sys.executable, "-m", "placememory", "build", uri, str(images)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        _wait_for_places(process, tmp_path / "m", store)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with PlaceMemory.open(uri) as memory:
        before = len(memory)
        descriptors = memory.descriptors.copy()
    assert 0 < before < 640
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{640 - before} places added, {before} were there already" in done.stderr
    with PlaceMemory.open(uri) as memory:
        assert len(memory) == 640
        kept = {p.index for p in memory.places}
        assert kept == set(range(640))
        assert {row.tobytes() for row in descriptors} <= {r.tobytes() for r in memory.descriptors}


def _wait_for_places(process: subprocess.Popen[bytes], path: Path, store: str) -> None:
    """Wait until some places are written, but not all."""
    while process.poll() is None:
        if store == "sqlite" and path.exists():
            with PlaceMemory.open(path, readonly=True) as memory:
                if len(memory) > 0:
                    return
        written = list(path.glob("collections/places/wal/*")) if store == "lite" else []
        if sum(p.stat().st_size for p in written) > 1_500_000:
            return
        time.sleep(0.02)
    raise AssertionError(process.stderr.read() if process.stderr else "no output")


def test_a_first_build_that_was_cut_off_keeps_what_its_fit_has_found(tmp_path: Path) -> None:
    read: list[str] = []

    def counted(frame: Frame, stop_at: int) -> Frame:
        def image() -> np.ndarray:
            if len(read) == stop_at:
                raise RuntimeError("cut off")
            read.append(frame.name)
            return frame.image()

        return replace(frame, read=image)

    frames = coloured_frames(150)
    with pytest.raises(RuntimeError, match="cut off"):
        build(tmp_path / "m", [counted(f, 90) for f in frames], encoder=Words())
    assert not PlaceMemory.exists(tmp_path / "m")
    read.clear()
    build(tmp_path / "m", [counted(f, 1000) for f in frames], encoder=Words()).close()
    assert len(read) < 150 - 80 + 10  # three of the kept ones were looked at again
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    with (
        build(tmp_path / "again", frames, encoder=Words()) as again,
        PlaceMemory.open(tmp_path / "m") as memory,
    ):
        assert again.revision == memory.revision


def test_kept_features_of_other_images_are_not_used(tmp_path: Path) -> None:
    frames, others = coloured_frames(150), coloured_frames(300)[150:]
    renamed = [replace(f, read=o.read) for f, o in zip(frames, others, strict=True)]
    with SampleFile(sample_path(tmp_path / "m"), Words().card) as kept:
        for frame in frames[:100]:
            [features] = Words().find_features([frame.image()])
            kept.add(frame, features)
    with (
        build(tmp_path / "m", renamed, encoder=Words()) as memory,
        build(tmp_path / "again", renamed, encoder=Words()) as again,
    ):
        assert again.revision == memory.revision


def test_two_builders_of_one_new_memory(tmp_path: Path) -> None:
    with (
        SampleFile(sample_path(tmp_path / "m"), Words().card),
        pytest.raises(MemoryLockedError, match="another process is building this memory"),
    ):
        build(tmp_path / "m", coloured_frames(20), encoder=Words())
    build(tmp_path / "m", coloured_frames(20), encoder=Words()).close()
