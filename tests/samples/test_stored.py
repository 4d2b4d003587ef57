"""The sample building that comes with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory.errors import InputError
from placememory.frames import list_frames, read_image, read_poses
from placememory.samples import render_building, unpack_building


def test_it_is_the_rendered_one_but_for_the_loss_of_webp(tmp_path: Path) -> None:
    pytest.importorskip("vizdoom", reason="the extra 'demo' is not installed")
    stored = unpack_building(tmp_path / "stored")
    drawn = render_building(tmp_path / "drawn")
    for one, other in ((stored.mapping, drawn.mapping), (stored.query, drawn.query)):
        images = sorted(one.glob("*.webp"))
        rendered = sorted(other.glob("*.png"))
        assert [path.stem for path in images] == [path.stem for path in rendered]
        for image, png in list(zip(images, rendered, strict=True))[::20]:
            apart = np.abs(read_image(image).astype(float) - read_image(png).astype(float))
            assert apart.mean() < 10.0  # grey levels; another image is 30 and more away
    for name in ("map.yaml", "map.pgm", "mapping/vertices.csv", "query/vertices.csv"):
        assert (stored.folder / name).read_bytes() == (drawn.folder / name).read_bytes()
    assert [Path(n).stem for n in stored.off_map] == [Path(n).stem for n in drawn.off_map]


def test_frames_find_their_poses(tmp_path: Path) -> None:
    building = unpack_building(tmp_path / "stored")
    _, report = read_poses(building.query_vertices).join(list_frames(building.query))
    assert "126 of 126 frames have a pose" in str(report)
    assert unpack_building(tmp_path / "stored") == building


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="no sample building"):
        unpack_building(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "all of it"
