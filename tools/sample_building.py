"""Make the stored sample building: ``python tools/sample_building.py`` (needs the extra ``demo``).

The building of ``placememory.samples.render_building`` with its images as WebP, in one archive.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

from placememory.samples import render_building

OUT = Path(__file__).resolve().parents[1] / "src/placememory/samples/data/building.zip"
_QUALITY, _EFFORT = 75, 6
_DAY = (2025, 7, 1, 0, 0, 0)  # of all members, so that the same images give the same bytes


def main() -> None:
    """Render, shrink, pack."""
    with tempfile.TemporaryDirectory() as folder:
        building = render_building(Path(folder) / "building")
        files: dict[str, bytes] = {
            name: (building.folder / name).read_bytes() for name in ("map.yaml", "map.pgm")
        }
        for run in (building.mapping, building.query):
            files[f"{run.name}/vertices.csv"] = (run / "vertices.csv").read_bytes()
            for path in sorted(run.glob("*.png")):
                with Image.open(path) as image:
                    file = io.BytesIO()
                    image.convert("RGB").save(file, "WEBP", quality=_QUALITY, method=_EFFORT)
                files[f"{run.name}/{path.stem}.webp"] = file.getvalue()
        off_map = [f"{Path(name).stem}.webp" for name in building.off_map]
    files["off_map.json"] = json.dumps(off_map, indent=1).encode()
    OUT.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _DAY), content, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
