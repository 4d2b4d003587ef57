"""Who may ask, how much, and how often."""

from __future__ import annotations

import json
import re
import zlib

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from placememory.errors import SettingError
from placememory.serve.settings import ServeSettings
from tests.serve.toy import client_of, code_of, connect, picture, png

PNG = {"content-type": "image/png"}


def test_other_addresses_need_a_token() -> None:
    for host in ("0.0.0.0", "192.168.1.4", "::", "robot.local", ""):
        with pytest.raises(SettingError, match="token"):
            ServeSettings(host=host)
        assert ServeSettings(host=host, token="x").token == "x"
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert ServeSettings(host=host).token is None
    assert "geheim" not in repr(ServeSettings(token="geheim"))


def test_the_token_is_asked_for_everywhere_but_on_the_page(toy) -> None:
    with client_of(toy, token="geheim") as client:
        addresses = [path for path in client.get("/openapi.json").json()["paths"] if path != "/"]
        assert len(addresses) > 12
        for path in addresses:
            address = re.sub(r"\{.*?\}", "1", path)
            missing = client.get(address)
            assert (missing.status_code, code_of(missing)) == (401, "token_missing"), address
            wrong = client.get(address, headers={"authorization": "Bearer geheim2"})
            assert (wrong.status_code, code_of(wrong)) == (401, "token_wrong"), address
            for right in ({"authorization": "Bearer geheim"}, {"authorization": "bearer geheim"}):
                if not address.endswith("/events"):
                    assert client.get(address, headers=right).status_code != 401, address
        assert client.get("/api/health?token=geheim").status_code == 200
        assert client.get("/api/health?token=caf%C3%A9").status_code == 401
        proxied = {"host": "robot.example", "authorization": "Bearer geheim"}
        assert client.get("/api/health", headers=proxied).status_code == 200
        stream = client.post("/api/streams?token=geheim").json()["id"]
        with pytest.raises(WebSocketDisconnect), connect(client, f"/api/streams/{stream}"):
            pass
        with connect(client, f"/api/streams/{stream}?token=geheim") as socket:
            socket.send_bytes(png(picture(1)))
            assert json.loads(socket.receive_text())["candidates"]


def test_pages_of_other_sites_are_refused(toy) -> None:
    with client_of(toy) as client:
        stream = client.post("/api/streams").json()["id"]
        for headers, code in (
            ({"origin": "http://elsewhere.example"}, "cross_origin"),
            ({"origin": "null"}, "cross_origin"),
            ({"host": "elsewhere.example"}, "wrong_host"),
            ({"host": "127.0.0.1.elsewhere.example"}, "wrong_host"),
            ({"host": "127.0.0.1@elsewhere.example"}, "wrong_host"),
            ({"host": "["}, "wrong_host"),
            ({"host": ""}, "wrong_host"),
        ):
            answer = client.get("/api/health", headers=headers)
            assert (answer.status_code, code_of(answer)) == (403, code), headers
            assert "access-control-allow-origin" not in answer.headers
            address = f"/api/streams/{stream}"
            with (
                pytest.raises(WebSocketDisconnect),
                connect(client, address, headers=headers),
            ):
                pass
        for headers in ({"origin": "http://127.0.0.1"}, {"host": "localhost:8000"}):
            assert client.get("/api/health", headers=headers).status_code == 200


def test_uploads_are_bounded_in_bytes(toy) -> None:
    data = png(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
    assert len(data) > 100_000

    def parts():
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    with client_of(toy, max_megabytes=0.1) as client:
        for path in ("/api/localize", "/api/search"):
            for content in (data, parts()):  # with its length, and without
                answer = client.post(path, content=content, headers=PNG)
                assert (answer.status_code, code_of(answer)) == (413, "too_large")
        form = client.post("/api/localize", files={"image": data})
        assert form.status_code == 413
        stream = client.post("/api/streams").json()["id"]
        deep = client.post(f"/api/streams/{stream}/save", content=b"[" * 200_000)
        assert deep.status_code == 413


def _bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that is a large black image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    sizes = side.to_bytes(4, "big") * 2
    rows = zlib.compress(bytes(1 + side // 8) * side, 9)
    head = chunk(b"IHDR", sizes + bytes([1, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_images_are_bounded_in_pixels(toy) -> None:
    with client_of(toy, max_megapixels=1.0) as client:
        for side in (1008, 20_000):
            bomb = _bomb(side)
            assert len(bomb) < 100_000
            for path in ("/api/localize", "/api/search"):
                answer = client.post(path, content=bomb, headers=PNG)
                assert (answer.status_code, code_of(answer)) == (413, "image_too_large")
        answer = client.post("/api/localize", content=_bomb(992), headers=PNG)
        assert answer.json()["note"] == "featureless"


def test_clients_are_bounded_in_rate(toy) -> None:
    with client_of(toy, max_rate=0.001) as client:
        assert client.post("/api/search", content=png(picture(1)), headers=PNG).status_code == 200
        for path in ("/api/search", "/api/localize", "/api/streams"):
            answer = client.post(path, content=png(picture(1)), headers=PNG)
            assert (answer.status_code, code_of(answer)) == (429, "too_often")
            assert answer.headers["retry-after"] == "1"
        assert client.get("/api/map").status_code == 200


def test_what_is_no_image_is_told(toy) -> None:
    with client_of(toy) as client:
        for content, kind, status, code in (
            (b"hello", "image/png", 400, "image_unreadable"),
            (png(picture(1))[:500], "image/png", 400, "image_unreadable"),
            (b"", "image/png", 422, "image_missing"),
            (b"{}", "application/json", 415, "unsupported_media_type"),
            (png(picture(1)), "", 415, "unsupported_media_type"),
            (b"--x", "multipart/form-data", 400, "bad_request"),
            (b"--x\r\nno", "multipart/form-data; boundary=x", 422, "image_missing"),
            (b"\x00" * 100, "multipart/form-data; boundary=x", 400, "bad_request"),
        ):
            for path in ("/api/localize", "/api/search"):
                answer = client.post(path, content=content, headers={"content-type": kind})
                assert (answer.status_code, code_of(answer)) == (status, code), (content, kind)


def test_what_is_not_there_is_told_alike(toy) -> None:
    with client_of(toy) as client:
        assert code_of(client.get("/api/nothing")) == "not_found"
        assert code_of(client.put("/api/map")) == "method_not_allowed"
        assert code_of(client.get("/docs")) == "not_found"
        for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/%2e%2e/etc/passwd"):
            assert client.get(path).status_code == 404


def test_a_failure_has_an_id_that_the_log_has_too(toy, caplog, monkeypatch) -> None:
    with client_of(toy) as client:

        def fail(*_, **__):
            raise ZeroDivisionError("the reason")

        monkeypatch.setattr(client.app.state.service.engine, "localize", fail)
        answer = client.post("/api/localize", content=png(picture(1)), headers=PNG)
        assert (answer.status_code, code_of(answer)) == (500, "internal")
        assert "reason" not in answer.text
        [record] = [r for r in caplog.records if answer.json()["error"]["id"] in r.getMessage()]
        assert "the reason" in str(record.exc_info[1])


def test_metrics_count_what_came(toy) -> None:
    with client_of(toy) as client:
        for i in range(3):
            client.post("/api/localize", content=png(picture(i)), headers=PNG)
        client.post("/api/localize", content=b"x", headers=PNG)
        client.post("/api/streams")
        client.get("/api/places/day/1")
        client.get("/a/path/nobody/knows")
        text = client.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    known = 'placememory_requests_total{method="POST",path="/api/localize",status='
    assert (values[known + '"200"}'], values[known + '"400"}']) == ("3", "1")
    seconds = 'placememory_request_seconds_bucket{path="/api/localize",le='
    assert values[seconds + '"+Inf"}'] == "4"
    assert int(values[seconds + '"0.005"}']) <= int(values[seconds + '"10.0"}'])
    assert values["placememory_streams"] == "1"
    assert values["placememory_places"] == "60"
    assert values["placememory_batch_images_count"] == "3"
    verdicts = [n for n in values if n.startswith("placememory_verdicts_total")]
    assert sum(int(values[name]) for name in verdicts) == 3
    assert "nobody" not in text
    assert re.search(r"^# TYPE placememory_request_seconds histogram$", text, re.MULTILINE)
