"""The result of a build."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The result of a build.

    Attributes:
        added: Places written now.
        present: Places that were in the memory already.
        moved: Places that were there and got another pose or stamp.
        without_pose: Places in the memory, of these frames, that have no pose.
        bad: Names and reasons of frames that could not be read.
        fitted_on: Images the encoder's vocabulary was fitted on now; 0 if it was not.
        seconds: Time it took, reading included.
    """

    added: int
    present: int
    moved: int
    without_pose: int
    bad: tuple[tuple[str, str], ...]
    fitted_on: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Images encoded a second, reading included."""
        return self.added / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        """Counts and time in one line."""
        parts = [f"{self.added} places added"]
        parts += [f"{self.present} were there already"] if self.present else []
        parts += [f"{self.moved} of them got another pose or stamp"] if self.moved else []
        parts += [f"{self.without_pose} have no pose"] if self.without_pose else []
        speed = f" ({self.images_per_second:.0f} images/s)" if self.added else ""
        return f"{', '.join(parts)}; {self.seconds:.1f} s{speed}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "images_per_second": self.images_per_second}
