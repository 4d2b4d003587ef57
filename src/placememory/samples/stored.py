"""The sample building as stored images: no renderer is needed."""

from __future__ import annotations

import io
import json
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from placememory.samples.building import Building
from placememory.samples.files import find_reusable, publish

_RECIPE = "stored-1"  # raised when the archive changes
_OFF_MAP = "off_map.json"


def unpack_building(folder: Path) -> Building:
    """The building of :func:`render_building`, from the images that come with the package.

    120 images of a mapping run and 126 of a query run, 320x240, as WebP; maps and poses are those
    of the rendered one (``tools/sample_building.py`` makes them). The folder appears only when it
    is complete, and a complete one is reused.

    Args:
        folder: Where to write; replaced if it holds another sample building.

    Returns:
        The paths of what was written.

    Raises:
        InputError: The folder holds something else, which is left alone.

    Example:
        >>> import tempfile
        >>> building = unpack_building(Path(tempfile.mkdtemp()) / "building")
        >>> len(list(building.mapping.glob("*.webp"))), len(building.off_map)
        (120, 23)
    """
    target = Path(folder).absolute()
    wanted = {"recipe": _RECIPE}
    record = find_reusable(target, wanted)
    if record is None:
        content = (files("placememory.samples") / "data/building.zip").read_bytes()

        def write(part: Path) -> dict[str, Any]:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                archive.extractall(part)
                names = archive.namelist()
            off_map = json.loads((part / _OFF_MAP).read_text(encoding="utf-8"))
            return {"off_map": off_map, "files": names}

        record = publish(target, wanted, write)
    return Building.at(target, record["off_map"])
