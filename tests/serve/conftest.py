"""A memory that the tests of the service share, and one that they may change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from placememory.memory import PlaceMemory

for module in ("fastapi", "uvicorn", "websockets", "multipart", "httpx"):
    pytest.importorskip(module, reason="the extra 'serve' is not installed")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaceMemory]:
    """Do not change it."""
    from tests.serve.toy import make_memory

    with make_memory(tmp_path_factory.mktemp("toy")) as memory:
        yield memory


@pytest.fixture
def own(tmp_path: Path) -> Iterator[PlaceMemory]:
    """Of this test alone."""
    from tests.serve.toy import make_memory

    with make_memory(tmp_path / "own") as memory:
        yield memory
