"""Streams: each is a Localizer that remembers; bounded, ended, and saved where that is allowed."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from placememory.frames import Frame
from placememory.fusion import Odometry
from placememory.localization import Localizer
from placememory.memory import PlaceMemory
from placememory.serve.models import StreamEstimate
from tests.serve.toy import Blocks, client_of, code_of, connect, picture, png

PNG = {"content-type": "image/png"}
SECOND = 10**9


def _known(answer: dict) -> dict:
    return {k: v for k, v in answer.items() if k not in ("milliseconds", "name", "heat")}


def _walk(memory: PlaceMemory, numbers) -> list[dict]:
    """What a Localizer says of the same frames."""
    localizer, found = Localizer(memory, Blocks(), verify=None), []
    for i, number in enumerate(numbers):
        frame = Frame(f"{i}", "walk", i, stamp=i * SECOND, read=lambda n=number: picture(n))
        odometry = None if i == 0 else Odometry(1.0, 0.0, 0.1)
        found.append(_known(localizer.observe(frame, odometry).to_dict()))
    return found


def _open(client) -> str:
    answer = client.post("/api/streams")
    assert answer.status_code == 201
    return f"/api/streams/{answer.json()['id']}"


def _post(client, stream: str, i: int, data: bytes):
    query = f"stamp={i * SECOND}" + ("&dx=1&dyaw=0.1" if i else "")
    return client.post(f"{stream}/frames?{query}", content=data, headers=PNG)


WALK = (*range(3, 12), *range(900, 912))


def test_frames_by_post_are_answered_as_by_a_localizer(toy) -> None:
    with client_of(toy) as client:
        stream, other = _open(client), _open(client)
        answers = []
        for i, number in enumerate(WALK):
            answers.append(_post(client, stream, i, png(picture(number))).json())
            _post(client, other, i, png(picture(number + 5)))  # of another robot
        listed = {s["id"]: s for s in client.get("/api/streams").json()}
    assert [_known(a) for a in answers] == _walk(toy, WALK)
    assert {a["verdict"] for a in answers} >= {"located", "unknown"}
    for answer in answers:
        StreamEstimate.model_validate(answer)
    assert listed[stream.rpartition("/")[2]]["frames"] == len(WALK)


def test_frames_by_websocket_are_answered_as_by_a_localizer(toy) -> None:
    with client_of(toy) as client, connect(client, _open(client)) as socket:
        answers = []
        for i, number in enumerate(WALK):
            facts = {"stamp": i * SECOND, **({"dx": 1.0, "dyaw": 0.1} if i else {})}
            socket.send_text(json.dumps(facts))
            socket.send_bytes(png(picture(number)))
            answers.append(json.loads(socket.receive_text()))
    assert [_known(a) for a in answers] == _walk(toy, WALK)


def test_the_heat_is_the_belief_of_the_localizer(toy) -> None:
    localizer = Localizer(toy, Blocks(), verify=None)
    with client_of(toy) as client:
        stream = _open(client)
        for i in range(6):
            heat = _post(client, stream, i, png(picture(i))).json()["heat"]
            frame = Frame("q", "q", i, stamp=i * SECOND, read=lambda n=i: picture(n))
            localizer.observe(frame, None if i == 0 else Odometry(1.0, 0.0, 0.1))
    mass = localizer.probabilities
    rows = [row for row, _ in heat]
    assert [p for _, p in heat] == pytest.approx(mass[rows].tolist(), abs=1e-6)
    assert rows[0] == int(np.argmax(mass)) == 5
    assert sorted(rows) == np.flatnonzero(mass >= 1e-4).tolist()


def test_a_frame_that_cannot_be_read_moves_the_belief_on(toy) -> None:
    with client_of(toy) as client:
        stream = _open(client)
        for i in range(6):
            _post(client, stream, i, png(picture(i)))
        answer = _post(client, stream, 6, png(picture(6))[:-900])
        assert answer.status_code == 200
        assert answer.json()["note"] == "unreadable"
        assert answer.json()["hypothesis"]["x"] == pytest.approx(6.0, abs=0.5)
        black = _post(client, stream, 7, png(np.zeros((60, 80, 3), np.uint8))).json()
        assert black["note"] == "featureless"


def test_the_websocket_says_what_it_refuses_and_goes_on(toy) -> None:
    with client_of(toy, max_megapixels=0.02) as client:
        with connect(client, _open(client)) as socket:
            for text in ("{", "[]", '{"stamp": "now"}', '{"dx": 1e99}', "[" * 10_000):
                socket.send_text(text)
                assert json.loads(socket.receive_text())["error"]["code"] == "invalid_request"
            socket.send_bytes(png(np.zeros((200, 200, 3), np.uint8)))
            assert json.loads(socket.receive_text())["error"]["code"] == "image_too_large"
            socket.send_bytes(png(picture(3)))
            assert json.loads(socket.receive_text())["candidates"][0]["index"] == 3
        with connect(client, "/api/streams/none") as socket:
            socket.send_bytes(b"x")
            assert json.loads(socket.receive_text())["error"]["code"] == "no_such_stream"


def test_streams_are_bounded_and_end(toy) -> None:
    with client_of(toy, max_streams=2) as client:
        first, _ = _open(client), _open(client)
        full = client.post("/api/streams")
        assert (full.status_code, code_of(full)) == (429, "too_many_streams")
        assert client.delete(first).status_code == 204
        assert client.delete(first).status_code == 404
        assert code_of(_post(client, first, 0, png(picture(0)))) == "no_such_stream"
        _open(client)


def test_idle_streams_end(toy) -> None:
    with client_of(toy, idle=0.05) as client:
        stream = _open(client)
        time.sleep(0.1)
        client.portal.call(_end_idle, client.app.state.service.streams)
        assert client.get("/api/streams").json() == []
        assert client.get(f"{stream}/events").status_code == 404


async def _end_idle(streams) -> None:
    streams.end_idle()


def test_a_stream_is_saved_as_a_session_where_the_memory_may_be_written_to(own) -> None:
    with client_of(own) as client:
        refused = client.post(f"{_open(client)}/save", json={"session": "evening"})
        assert (refused.status_code, code_of(refused)) == (403, "read_only")
    with client_of(own, writable=True) as client:
        stream = _open(client)
        for i in range(12):
            image = np.clip(picture(i).astype(int) + 9, 0, 255).astype(np.uint8)
            query = f"stamp={i * SECOND}" + ("&dx=1" if i else "")
            client.post(f"{stream}/frames?{query}", content=png(image), headers=PNG)
        added = client.post(f"{stream}/save", json={"session": "evening"}).json()
        assert added["located"] + added["between"] == own.sessions()["evening"] > 5
        again = client.post(f"{stream}/save", json={"session": "evening"})
        assert (again.status_code, code_of(again)) == (422, "invalid_request")
        names = [s["name"] for s in client.get("/api/map").json()["sessions"]]
        assert names == ["day", "evening", "floor 2/night"]
        empty = client.post(f"{_open(client)}/save", json={"session": "nothing"})
        assert empty.status_code == 422


def test_listeners_of_a_stream_are_bounded(toy) -> None:
    with client_of(toy) as client:
        stream = _open(client)
        streams = client.app.state.service.streams
        taken = [client.portal.call(_begin, streams, stream) for _ in range(8)]
        full = client.get(f"{stream}/events")
        assert (full.status_code, code_of(full)) == (429, "too_many_listeners")
        client.delete(stream)
        assert [client.portal.call(_next, events) for events in taken] == ["end"] * 8


async def _begin(streams, address: str):
    """A listener that has heard nothing yet."""
    events = streams.listen(streams.get(address.rpartition("/")[2]), 0.01)
    assert await anext(events) is None
    return events


async def _next(events) -> object:
    return await anext(events, "end")
