"""Sample data: buildings rendered here and now, with exact poses.

One small building for a demonstration, and any number of random ones, each driven several times
in different light, to train and to test on. No download, no GPU and no display are needed; ViZDoom
(``pip install 'placememory[demo]'``) carries the renderer and the free Freedoom textures. The small
building also comes with the package, as images.

Example:
    >>> from pathlib import Path
    >>> building = render_building(Path("sample"))  # doctest: +SKIP
    >>> building.map_yaml.name, len(building.off_map)  # doctest: +SKIP
    ('map.yaml', 23)
"""

from __future__ import annotations

from placememory.samples.building import Building, Change, render_building, render_traverses
from placememory.samples.stored import unpack_building

__all__ = ["Building", "Change", "render_building", "render_traverses", "unpack_building"]
