"""``placememory upgrade``: a memory file of an earlier version in this one's layout."""

from __future__ import annotations

from placememory.cli import _options as options
from placememory.cli._console import progress, say
from placememory.memory import upgrade


def run(memory: options.Memory) -> None:
    """Bring a memory file of version 0.1 to the layout of this version; resumes if interrupted.

    Example: [b]placememory upgrade office.memory[/b]

    Such a file can be read and searched as it is, but not written to. It is copied beside itself,
    and the copy takes its name when it is whole.
    """
    with progress("Converting") as advance:
        done = upgrade(memory, progress=advance)
    say(f"{memory}: {'converted' if done else 'has the layout of this version already'}")
