"""Draw the pictures of README and docs again: ``python tools/pictures.py`` (needs ``figures``).

They are those of ``placememory demo``; ``page.png`` is a browser's picture of its ``index.html``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Run the demo, and take its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo"
        command = [sys.executable, "-m", "placememory", "demo", "--out", str(demo)]
        subprocess.run(command, check=True)
        for name, out in (("map", "verdicts"), ("timeline", "timeline")):
            with Image.open(demo / f"{name}.png") as drawn:
                few = drawn.convert("RGB").quantize(128, dither=Image.Dither.NONE)
                few.save(IMAGES / f"{out}.png", optimize=True)
        with Image.open(demo / "figures/strips/retrieval_000.png") as strips:
            shown = strips.convert("RGB").crop((0, 0, strips.width, 3 * strips.height // 8))
            shown.thumbnail((1200, 1200))
            shown.save(IMAGES / "strips.jpg", quality=85, optimize=True)
        browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
        if browser is not None:
            flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                     "--window-size=1280,800", "--virtual-time-budget=5000")  # fmt: skip
            page = f"{(demo / 'index.html').as_uri()}#run"
            shot = f"--screenshot={IMAGES / 'page.png'}"
            subprocess.run([browser, *flags, shot, page], check=True, capture_output=True)


if __name__ == "__main__":
    main()
