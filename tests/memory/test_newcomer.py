"""What a newcomer types: build from a folder, open, query, look; and what they get wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import placememory as pm
from placememory.encoders import EncoderCard, Preprocess
from placememory.errors import (
    EncoderError,
    ImageError,
    InputError,
    MemoryNotFoundError,
    SettingError,
)
from placememory.frames import read_image
from placememory.memory import Candidates, PlaceMemory
from placememory.memory.build import build
from placememory.samples import Building


def _halves(image):
    return np.array_split(image, 2, axis=1)


class Colours:
    """An encoder that has only ``card`` and ``encode``."""

    card = EncoderCard(name="newcomers-colours", dim=12, preprocess=Preprocess(longest=8))

    def encode(self, images):
        parts = [
            [part.mean((0, 1)) for half in np.array_split(i, 2) for part in _halves(half)]
            for i in images
        ]
        rows = np.float32(parts).reshape(len(images), 12) + 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def memory(building: Building, tmp_path: Path):
    pm.register_encoder("newcomers-colours", Colours)
    with build(
        tmp_path / "office.memory",
        str(building.mapping),
        building.mapping_vertices,
        "newcomers-colours",
        map_yaml=building.map_yaml,
    ) as memory:
        yield memory


def test_a_folder_and_poses_become_an_open_memory(memory: PlaceMemory, building: Building) -> None:
    assert memory.report is not None
    assert memory.report.added == len(memory) == len(list(building.mapping.glob("*.png")))
    assert memory.report.without_pose == 0
    assert f"{len(memory)} places added" in str(memory.report)
    assert memory.manifest.sources == {building.mapping.name: str(building.mapping)}
    assert memory.to_dict()["encoder"] == "newcomers-colours"
    assert repr(memory).endswith(f"{len(memory)} places of 1 session, newcomers-colours)")
    again = build(memory.uri, building.mapping)  # the memory's own encoder
    assert again.report is not None
    assert again.report.present == len(memory)
    again.close()


@pytest.mark.parametrize("kind", ["path", "text", "array", "alpha", "frame"])
def test_query_takes_what_stands_for_an_image(memory: PlaceMemory, building, kind: str) -> None:
    path = sorted(building.mapping.glob("*.png"))[7]
    pixels = read_image(path)
    image = {
        "path": path,
        "text": str(path),
        "array": pixels,
        "alpha": np.dstack([pixels, pixels[:, :, 0]]),
        "frame": pm.Frame("x", "y", 0, read=lambda: pixels),
    }[kind]
    found = memory.query(image, k=3)
    assert isinstance(found, Candidates)
    assert [c.rank for c in found] == [1, 2, 3]
    assert found[0].place.name == path.name
    assert found[0].similarity > 0.9999
    assert repr(found).startswith(f"Candidates(1: {path.name!r} 1.000, 2: ")
    assert memory.encoder() is memory.encoder()
    frame = pytest.importorskip("pandas") and found.to_frame()
    assert list(frame["rank"]) == [1, 2, 3]
    assert frame["name"][0] == path.name


def test_wrong_input_is_named(memory: PlaceMemory, building: Building, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="there is no such image"):
        memory.query(tmp_path / "no.png")
    with pytest.raises(ImageError, match="float64"):
        memory.query(np.zeros((4, 4, 3)))
    with pytest.raises(SettingError, match="k must be at least 1"):
        memory.query(np.zeros((4, 4), np.uint8), k=0)
    with pytest.raises(SettingError, match="a memory is a path or text, not PlaceMemory"):
        build(memory, building.mapping)  # type: ignore[arg-type]
    with pytest.raises(EncoderError, match="did you mean 'lite-vlad'"):
        build(tmp_path / "m", building.mapping, encoder="lite-vlda")
    with pytest.raises(EncoderError, match="an encoder is an object with card"):
        build(tmp_path / "m", building.mapping, encoder=3)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        build(tmp_path / "m", tmp_path / "nowhere")
    with pytest.raises(InputError):
        build(tmp_path / "m", building.mapping, map_yaml=tmp_path / "no.yaml")
    with pytest.raises(SettingError, match="float8"):
        build(tmp_path / "m", building.mapping, dtype="float8")
    assert not (tmp_path / "m").exists()
    with pytest.raises(MemoryNotFoundError):
        PlaceMemory.open(tmp_path / "m")
    for taken in (memory, 3, None):
        with pytest.raises(SettingError, match="a memory is a path or text, not"):
            pm.open(taken)  # type: ignore[arg-type]
    for closed in (memory.uri, tmp_path, None):
        with pytest.raises(InputError, match="needs an open memory"):
            pm.Localizer(closed)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="needs an open memory"):
            pm.localize(closed, building.mapping)  # type: ignore[arg-type]
    with pytest.raises(EncoderError, match="an encoder is an object with card"):
        pm.Localizer(memory, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("fusion", ["bayes", "frequency", None])
def test_what_is_printed_is_short(memory: PlaceMemory, building: Building, fusion) -> None:
    estimate = pm.Localizer(memory, fusion=fusion).observe(sorted(building.query.iterdir())[0])
    assert repr(estimate).startswith("Estimate('")
    assert len(repr(estimate)) < 160
    assert (fusion is None) == ("best Candidate(1: " in repr(estimate))
