"""What a service may do, and for whom."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from placememory._checks import check_positive, check_whole
from placememory.errors import SettingError

_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What a service may do, and for whom.

    Attributes:
        host: Address that is listened on.
        port: Port; 0 takes a free one.
        token: What clients must send; ``None`` where everyone on this machine may ask.
        max_megabytes: Largest upload.
        max_megapixels: Largest image.
        max_rate: Uploads a second of one client; twice as many may come at once. 0 for no bound.
        max_streams: Streams at a time.
        max_waiting: Uploads at a time; others are told to come again.
        idle: Seconds without a frame or a listener after which a stream ends.
        upload_seconds: Within which an upload must have arrived.
        workers: Images that are worked on at a time.
        batch: Images that are encoded in one call, at the most.
        verify: Whether images are compared by local features where a belief is in doubt, where the
            extra ``verify`` is installed and the images of the places are there.
        writable: Whether the run of a stream may be added to the memory.
        runs: Folders of finished runs, by name.
        run_images: Folders, videos or bags with the images of runs, by the name of the run.
        images: Folder of the memory's images, where it is not the one it was built from.
        map_yaml: ROS map under the places; by default that of the memory.

    Raises:
        SettingError: A value is impossible, or another address than this machine's is to be
            listened on without a token.

    Example:
        >>> ServeSettings(host="0.0.0.0")
        Traceback (most recent call last):
        placememory.errors.SettingError: 0.0.0.0 can be reached by others; give a token
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    max_megabytes: float = 20.0
    max_megapixels: float = 50.0
    max_rate: float = 100.0
    max_streams: int = 16
    max_waiting: int = 64
    idle: float = 300.0
    upload_seconds: float = 30.0
    workers: int = 4
    batch: int = 8
    verify: bool = True
    writable: bool = False
    runs: Mapping[str, Path] = field(default_factory=dict)
    run_images: Mapping[str, Path] = field(default_factory=dict)
    images: Path | None = None
    map_yaml: Path | None = None

    def __post_init__(self) -> None:
        check_positive(
            max_megabytes=self.max_megabytes,
            max_megapixels=self.max_megapixels,
            idle=self.idle,
            upload_seconds=self.upload_seconds,
        )
        check_whole(workers=self.workers, batch=self.batch)
        check_whole(max_streams=self.max_streams, max_waiting=self.max_waiting)
        check_whole(port=self.port, least=0)
        if not self.max_rate >= 0:
            raise SettingError(f"a rate is 0 (no bound) or more a second, not {self.max_rate}")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise SettingError("a token is printable ASCII without line breaks")
        if not self.token and not is_loopback(self.host):
            raise SettingError(f"{self.host} can be reached by others; give a token")
        for name in self.runs:
            if not name or "/" in name:
                raise SettingError(f"the name of a run is not empty and has no slash: {name!r}")
        if unknown := sorted(set(self.run_images) - set(self.runs)):
            raise SettingError(f"there are images of {unknown[0]!r}, but no run of that name")

    @property
    def max_bytes(self) -> int:
        """Bytes of the largest upload."""
        return int(self.max_megabytes * 1e6)

    @property
    def max_pixels(self) -> int:
        """Pixels of the largest image."""
        return int(self.max_megapixels * 1e6)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("192.168.0.7")
        (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _NAMES
