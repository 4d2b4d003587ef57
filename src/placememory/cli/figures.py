"""``placememory demo``."""


def run() -> None:
    """Placeholder."""
