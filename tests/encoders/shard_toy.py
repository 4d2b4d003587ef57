"""An encoder that workers can import: it notes what it describes, and may kill its process once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

from placememory.encoders import EncoderCard

CARD = EncoderCard(name="shard-toy", dim=5)


class ShardToy:
    """Numbers drawn from the first pixel.

    Args:
        card: Its identity.
        log: File that gets a line for each image.
        victim: Pixel at which the process is killed, if the file ``killed`` is not there yet.
    """

    def __init__(self, card: EncoderCard, log: Path, victim: int = -1) -> None:
        self.card, self._log, self._victim = card, log, victim

    def encode(self, images):
        rows = np.empty((len(images), 5), np.float32)
        for row, image in zip(rows, images, strict=True):
            number = int(image[0, 0, 0])
            with self._log.open("a") as file:
                file.write(f"{number}\n")
            flag = self._log.with_name("killed")
            if number == self._victim and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            drawn = np.random.default_rng(number).normal(size=5)
            row[:] = drawn / np.linalg.norm(drawn)
        return rows


class AlwaysKilled(ShardToy):
    """Dies at the victim each time."""

    def encode(self, images):
        self._log.with_name("killed").unlink(missing_ok=True)
        return super().encode(images)
