"""The browser page in a real browser, before a server that answers as the service does."""

from __future__ import annotations

import io
import json
import math
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image as PillowImage

import placememory
from placememory import Candidate, Estimate, Frame, Place, Pose
from placememory.fusion import Belief, Hypothesis
from tests.chromium import Page, chromium

STATIC = Path(placememory.__file__).parent / "serve/page"
SESSIONS = ("monday", "evening <b>")
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
VERDICTS = ("located", "located", "ambiguous", "unknown")


def _jpeg(number: int, size: tuple[int, int] = (160, 120)) -> bytes:
    """A picture that differs from its neighbours."""
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    pixels = np.stack([across + number, down + 3 * number, across + down], axis=-1) % 256
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels.astype(np.uint8)).save(buffer, format="JPEG")
    return buffer.getvalue()


class House:
    """A corridor of places in two sessions, and a run of frames along it."""

    def __init__(self, places: int = 60, frames: int = 40) -> None:
        self.places = [
            Place(SESSIONS[i % 2], i // 2, f"place {i}.jpg",
                  pose=Pose.from_yaw(*self.at(i / places), 2 * math.pi * i / places))
            for i in range(places)
        ]  # fmt: skip
        self.estimates = [self.estimate(i, frames) for i in range(frames)]
        self.truth = [Pose(*self.at((i + 0.3) / frames)) for i in range(frames)]
        self.asked: list[str] = []
        self.sent: list[tuple[str, bytes]] = []
        self.tokens: set[str] = set()
        self.streams: list[str] = []
        self.refuse: tuple[int, dict[str, str]] | None = None

    @staticmethod
    def at(share: float) -> tuple[float, float]:
        """A ring of 20 by 8 metres."""
        angle = 2 * math.pi * share
        return 10.0 + 10.0 * math.cos(angle), 4.0 + 4.0 * math.sin(angle)

    def estimate(self, i: int, frames: int, verdict: str | None = None) -> Estimate:
        row = i * len(self.places) // frames
        place = self.places[row]
        assert place.pose is not None
        said = verdict or VERDICTS[i % 4]
        far = 4.0 if i % 8 == 0 else 0.2  # every other located frame of a kind is wrong
        guesses = tuple(
            Hypothesis(row + 2 * k, self.places[(row + 2 * k) % len(self.places)].id, weight,
                       (place.pose.x + far + k, place.pose.y), place.pose.yaw)
            for k, weight in enumerate((0.6, 0.3))
        )  # fmt: skip
        probability = 0.95 if said == "located" else 0.4 if said == "ambiguous" else 0.1
        candidates = tuple(
            Candidate(self.places[(row + k) % len(self.places)], 0.9 - 0.1 * k, k + 1)
            for k in range(6)
        )
        reason = "" if said == "located" else "two places alike" if i % 2 else "no place is like it"
        belief = Belief(said, guesses, probability, 0.5, 0.1, 5)  # type: ignore[arg-type]
        return Estimate(
            Frame(f"frame {i}.jpg", "run", i, stamp=i * 100_000_000), candidates, belief,
            reason=reason, spread=np.diag([0.04, 0.01, 0, 0, 0, 0.01]),
            milliseconds={"encode": 4.0},
        )  # fmt: skip

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        poses = [estimate.pose for estimate in self.estimates]
        guesses = [estimate.hypothesis for estimate in self.estimates]
        return {
            "name": [estimate.frame.name for estimate in self.estimates],
            "stamp": [estimate.frame.stamp for estimate in self.estimates],
            "verdict": [estimate.verdict for estimate in self.estimates],
            "reason": [estimate.reason for estimate in self.estimates],
            "x": [pose and pose.x for pose in poses],
            "y": [pose and pose.y for pose in poses],
            "yaw": [pose and pose.yaw for pose in poses],
            "hx": [guess and guess.x for guess in guesses],
            "hy": [guess and guess.y for guess in guesses],
            "probability": [estimate.probability for estimate in self.estimates],
            # the truth of the first half only
            "tx": [p.x if 2 * i < len(poses) else None for i, p in enumerate(self.truth)],
            "ty": [p.y if 2 * i < len(poses) else None for i, p in enumerate(self.truth)],
            "error": [
                pose.distance_to(true) if pose and 2 * i < len(poses) else None
                for i, (pose, true) in enumerate(zip(poses, self.truth, strict=True))
            ],
            "place": [i * len(self.places) // len(poses) for i in range(len(poses))],
            "similarity": [0.9] * len(poses),
            "image": [True] * len(poses),
        }

    def answer(self, method: str, path: str, query: dict[str, list[str]]) -> Any:
        """Plain values, or bytes of an image; ``None`` where there is no such thing."""
        parts = path.strip("/").split("/")[1:]
        match method, parts:
            case "GET", ["map"]:
                count = len(self.places)
                return {
                    "memory": "file:///home/robot/house.memory", "frame_id": "map", "revision": "7",
                    "encoder": "toy", "places": count,
                    "sessions": [
                        {"name": name, "count": (count + 1 - i) // 2}
                        for i, name in enumerate(SESSIONS)
                    ],
                    "image": {
                        "url": "/api/map/image", "width": 120, "height": 60, "resolution": 0.2,
                        "origin": [-2.0, -2.0, 0.0],
                    },
                }  # fmt: skip
            case "GET", ["map", "image"]:
                walls = np.full((60, 120), 254, np.uint8)
                walls[:2], walls[-2:], walls[25:35, 40:80] = 0, 0, 205
                buffer = io.BytesIO()
                PillowImage.fromarray(walls).save(buffer, format="PNG")
                return buffer.getvalue()
            case "GET", ["places"]:
                first, most = int(query["offset"][0]), int(query["limit"][0])
                part = self.places[first : first + min(most, 7000)]
                poses = [place.pose for place in part]
                return {
                    "total": len(self.places), "offset": first,
                    "session": [SESSIONS.index(place.session) for place in part],
                    "index": [place.index for place in part],
                    "x": [pose and pose.x for pose in poses],
                    "y": [pose and pose.y for pose in poses],
                    "yaw": [pose and pose.yaw for pose in poses],
                    "name": [place.name for place in part],
                }  # fmt: skip
            case "GET", ["places", _, index]:
                place = next(p for p in self.places if p.index == int(index))
                return {**place.to_dict(), "image": f"/{path}/image"}
            case "GET", ["places", _, index, "image"]:
                return _jpeg(int(index))
            case "POST", ["localize"]:
                return {**self.estimate(1, 40, "located").to_dict(), "image_size": [160, 120]}
            case "POST", ["search"]:
                return {"candidates": [c.to_dict() for c in self.estimate(1, 40).candidates]}
            case "GET", ["runs"]:
                return [{"name": "day 2", "frames": len(self.estimates), "located": 1}]
            case "GET", ["runs", "day%202"]:
                return {"name": "day 2", "frames": len(self.estimates), "verdicts": {},
                        "columns": self.columns, "radius": 2.0}  # fmt: skip
            case "GET", ["runs", "day%202", "frames", i]:
                return {**self.estimates[int(i)].to_dict(), "truth": None, "error": None}
            case "GET", ["runs", "day%202", "frames", i, "image"]:
                return _jpeg(7 * int(i))
            case "GET", ["streams"]:
                return [{"id": name, "frames": 3, "verdict": "located"} for name in self.streams]
        return None

    def events(self) -> Iterator[dict[str, Any]]:
        for i in range(30):
            heat = [[(2 * i + k) % len(self.places), 0.5 / (k + 1)] for k in range(8)]
            yield {**self.estimate(i, 60, "located").to_dict(), "heat": heat}


class _Handler(BaseHTTPRequestHandler):
    house: House

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path = address.path.lstrip("/") or "static/index.html"
        self.house.asked.append(path)
        given = self.headers.get("Authorization") or parse_qs(address.query).get("token", [""])[0]
        if not path.startswith("static/"):
            self.house.tokens.add(given)
        if path.startswith("static/"):
            file = STATIC / path.removeprefix("static/")
            self.give(file.read_bytes(), TYPES[file.suffix])
        elif path.endswith("/events"):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for told in self.house.events():
                self.wfile.write(f"event: estimate\ndata: {json.dumps(told)}\n\n".encode())
                self.wfile.flush()
                time.sleep(0.02)
            time.sleep(2)
        else:
            self.reply("GET", path, parse_qs(address.query))

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.house.sent.append((self.path, body))
        if self.house.refuse is None:
            self.reply("POST", address.path.lstrip("/"), parse_qs(address.query))
        else:
            status, error = self.house.refuse
            self.give(json.dumps({"error": error}).encode(), "application/json", status)

    def reply(self, method: str, path: str, query: dict[str, list[str]]) -> None:
        told = self.house.answer(method, path, query)
        if isinstance(told, bytes):
            self.give(told, "image/jpeg" if told[:2] == b"\xff\xd8" else "image/png")
        else:
            status = 404 if told is None else 200
            self.give(json.dumps(told).encode(), "application/json", status)

    def give(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Served:
    """A house behind its address."""

    def __init__(self, house: House) -> None:
        self.house = house
        handler = type("Handler", (_Handler,), {"house": house})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served(House())
    yield server
    server.close()


@pytest.fixture(scope="module")
def large() -> Iterator[Served]:
    """10,000 places and 10,000 frames."""
    server = Served(House(10_000, 10_000))
    yield server
    server.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "kitchen.jpg"
    path.write_bytes(_jpeg(3, (320, 240)))
    return path


def _text(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector({json.dumps(selector)}).innerText"))


def _loaded(page: Page, selector: str) -> None:
    """Wait until pictures are there."""
    page.wait(
        f"(all => all.length && all.every(i => i.complete && i.naturalWidth > 50))"
        f"([...document.querySelectorAll({json.dumps(selector)})])"
    )


def _spot(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where in the window a point of the map is."""
    told = page.run(
        f"(box => [box.left + map.across({x}), box.top + map.down({y})])"
        "(document.getElementById('map').getBoundingClientRect())"
    )
    return told[0], told[1]


def test_a_photo_is_answered_beside_its_place(page: Page, served: Served, photo: Path) -> None:
    page.look()
    page.open(served.url)
    assert _text(page, "h1") == "house.memory"
    assert "60 places in 2 sessions" in _text(page, "#subtitle")
    page.choose("#photo", photo)
    page.wait("document.querySelector('#photo-answer h3')")
    answer = _text(page, "#photo-answer")
    assert "Located" in answer
    assert "probability 0.95" in answer
    assert "Answered in" in answer
    [(address, body)] = served.house.sent
    assert address == "/api/localize?k=6"
    assert body == photo.read_bytes()
    _loaded(page, "#photo-answer .pair img, #photo-answer .three img")
    assert page.run("document.querySelectorAll('#photo-answer .three button').length") == 6
    page.run("document.querySelectorAll('#photo-answer .three button')[1].click()")
    assert page.run("map.candidate") == 2
    assert page.complaints == []
    assert {urlsplit(url).netloc for url in page.requests} == {urlsplit(served.url).netloc}


def test_a_photo_is_asked_with_what_is_known_and_among_a_session(
    page: Page, served: Served, photo: Path
) -> None:
    page.look()
    page.open(served.url)
    page.run(
        "Object.entries({x: 3, y: 4, yaw: 180, spread: 2, fx: 300}).forEach(([name, value]) => "
        "{ document.forms.options.elements[name].value = value; })"
    )
    page.choose("#photo", photo)
    page.wait("document.querySelector('#photo-answer h3')")
    asked = parse_qs(urlsplit(served.house.sent[0][0]).query)
    assert (asked["x"], asked["spread"], asked["fx"]) == (["3"], ["2"], ["300"])
    assert float(asked["yaw"][0]) == pytest.approx(math.pi)
    page.run(
        f"document.forms.options.elements.session.value = {json.dumps(SESSIONS[1])};"
        "document.forms.options.dispatchEvent(new Event('change'))"
    )
    page.wait("document.querySelector('#photo-answer h3')?.innerText.includes('alone')")
    last = urlsplit(served.house.sent[1][0])
    assert (last.path, parse_qs(last.query)["session"]) == ("/api/search", [SESSIONS[1]])


def test_a_token_is_sent_with_everything_and_leaves_the_address(page: Page, served: Served) -> None:
    page.look()
    page.open(served.url + "?token=s3cret")
    page.run("document.getElementById('tab-places').click(); choosePlace(3)")
    page.wait("document.querySelector('#place dl')")
    _loaded(page, "#place img")
    assert served.house.tokens == {"Bearer s3cret", "s3cret"}
    assert page.run("location.search") == ""


def test_a_photo_is_dropped_anywhere(page: Page, served: Served) -> None:
    page.look()
    page.open(served.url)
    page.run("document.getElementById('tab-places').click()")
    page.run(
        "(data => { data.items.add(new File([new Uint8Array(9)], 'hall.png', {type: 'image/png'}));"
        "for (const kind of ['dragover', 'drop']) map.element.dispatchEvent(new DragEvent(kind, "
        "{dataTransfer: data, bubbles: true, cancelable: true})); })(new DataTransfer())"
    )
    page.wait("document.querySelector('#photo-answer h3')")
    assert served.house.sent == [("/api/localize?k=6", bytes(9))]
    assert "hall.png" in _text(page, "#photo-answer")
    assert not page.run("document.body.classList.contains('over')")


def test_an_error_of_the_service_is_said_with_its_id(
    page: Page, served: Served, photo: Path
) -> None:
    page.look()
    page.open(served.url)
    told = {"code": "image_unreadable", "message": "the image is <b>cut</b> off", "id": "a1b2"}
    served.house.refuse = (422, told)
    page.choose("#photo", photo)
    page.wait("!document.getElementById('problem').hidden")
    said = _text(page, "#problem")
    assert "the image is <b>cut</b> off (image_unreadable, id a1b2)" in said
    served.house.refuse = None
    page.run("document.getElementById('photo').value = ''")
    page.choose("#photo", photo)
    page.wait("document.querySelector('#photo-answer h3')")
    assert page.run("document.getElementById('problem').hidden")


def test_a_stream_is_followed_with_its_belief(page: Page, served: Served) -> None:
    page.look()
    page.open(served.url)
    page.run("document.getElementById('tab-live').click()")
    page.wait("document.getElementById('live-state').innerText.includes('No stream is open')")
    served.house.streams.append("robot-1")
    page.wait("live.frames >= 30")
    page.settle()
    assert "Located" in _text(page, "#live-answer")
    assert page.run("map.heat.length") == 8
    assert page.run("map.trail.length") >= 30
    assert "belief: stronger is likelier" in _text(page, "#legend")
    page.run("document.getElementById('tab-places').click()")
    assert page.run("live.source") is None
    assert page.complaints == []


def _open_run(page: Page, server: Served) -> None:
    page.open(server.url)
    page.run("document.getElementById('tab-run').click()")
    page.wait("run && document.querySelectorAll('#frames li').length")
    page.settle()


def test_a_frame_is_found_on_the_map_and_in_the_timeline(page: Page, served: Served) -> None:
    page.look()
    _open_run(page, served)
    columns = served.house.columns
    page.click(*_spot(page, columns["x"][5], columns["y"][5]))
    page.wait("frame.answer && frame.answer.name === 'frame 5.jpg'")
    _loaded(page, "#frame-answer .pair img")
    assert "Frame 6 of 40" in _text(page, "#when")
    box = page.run("(b => [b.left, b.top, b.width, b.height])(timeline.element"
                   ".getBoundingClientRect())")  # fmt: skip
    page.click(box[0] + box[2] * (27 + 0.5) / 40, box[1] + box[3] / 2)
    page.wait("frame.answer.name === 'frame 27.jpg'")
    assert "Unknown" in _text(page, "#frame-answer h3")
    assert "Why: two places alike" in _text(page, "#frame-answer")
    assert "not trusted" in _text(page, "#frame-answer")
    assert page.run("document.activeElement.id") in ("timeline", "")
    page.run("document.getElementById('timeline').focus()")
    page.press("ArrowRight")
    page.wait("frame.answer.name === 'frame 28.jpg'")
    assert page.run("timeline.element.getAttribute('aria-valuenow')") == "29"
    assert "frame=29" in page.run("location.hash")
    page.open(served.url + "#frame=12&run=day+2")
    page.wait("frame.answer && frame.answer.name === 'frame 11.jpg'")
    page.settle()
    assert page.run(
        "Number.isFinite(map.scale) && map.element.dataset.drawn.startsWith('60 places')"
    )
    assert page.complaints == []


def test_a_frame_that_was_not_located_is_only_drawn_where_the_robot_was(
    page: Page, served: Served
) -> None:
    page.look()
    _open_run(page, served)
    columns = served.house.columns
    drawn = page.run("map.rows.filter(i => !Number.isNaN(run.px[i]))")
    lost = [i for i in range(40) if columns["x"][i] is None and columns["tx"][i] is None]
    assert sorted(drawn) == [i for i in range(40) if i not in lost]
    assert f"{len(lost)} frames were not located" in _text(page, "#map-note")
    at = page.run("[...run.px]")
    assert [at[i] for i in range(20) if i % 4 > 1] == [
        columns["tx"][i] for i in range(20) if i % 4 > 1
    ]
    assert "hypothesis, not trusted" not in _text(page, "#legend")
    page.run("document.getElementById('tab-places').click()")
    page.run("document.getElementById('hypotheses').click()")
    page.settle()
    assert "hypothesis, not trusted" in _text(page, "#legend")


def test_frames_are_filtered_sorted_found_and_played(page: Page, served: Served) -> None:
    page.look()
    _open_run(page, served)
    counts = page.run("[...document.querySelectorAll('#kinds button')].map(b => b.innerText)")
    wrong = [e for e in served.house.columns["error"] if e is not None and e > 2]
    assert f"\u2717 Located wrongly {len(wrong)}" in counts
    assert "\u25bd Unknown 10" in counts
    page.run("document.querySelector('[data-kind=unknown]').click()")
    assert page.run("rows") == list(range(3, 40, 4))
    page.run("document.querySelector('[data-kind=all]').click()")
    page.run("order.value = 'worst'; order.onchange()")
    kinds = page.run("rows.map(i => run.kind[i])")
    assert kinds == sorted(kinds)
    assert kinds[0] == 0
    assert _text(page, "#frames li").startswith("\u2717 Located wrongly")
    page.run("$('find').value = 'FRAME 3'; $('find').oninput()")
    assert sorted(page.run("rows")) == [3, *range(30, 40)]
    page.run("$('find').value = ''; $('find').oninput(); order.value = 'time'; order.onchange()")
    page.run("chooseFrame(0); speed.value = '25'; document.getElementById('play').click()")
    assert _text(page, "#play") == "Pause"
    page.wait("chosen >= 12")
    page.run("document.getElementById('play').click()")
    stopped = page.run("chosen")
    page.wait(f"frame.answer.name === 'frame {stopped}.jpg'")
    page.run("document.getElementById('frames').focus()")
    page.press("ArrowDown")
    page.wait(f"frame.answer.name === 'frame {stopped + 1}.jpg'")
    assert page.complaints == []


def test_the_map_is_moved_zoomed_and_shows_sessions_and_coverage(
    page: Page, served: Served
) -> None:
    page.look()
    page.open(served.url)
    page.run("document.getElementById('tab-places').click()")
    page.wait("document.getElementById('covered').innerText.includes('free area')")
    page.settle()
    before = page.run("[map.x, map.y, map.scale]")
    page.wheel(400, 300, -300)
    page.wait(f"map.scale > {before[2]}")
    page.drag(400, 300, 100, 50)
    moved = page.run("[map.x, map.y, map.scale]")
    assert moved[0] < before[0]
    assert moved[1] != before[1]
    page.run("document.getElementById('map').focus()")
    page.press("ArrowRight")
    page.press("+")
    assert page.run("map.x") > moved[0]
    assert page.run("map.scale") > moved[2]
    page.press("0")
    assert page.run("[map.x, map.y, map.scale]") == before
    said = _text(page, "#covered")
    assert "seen by several sessions" in said
    both = page.run("map.cover(2).area")
    page.run("document.querySelector('#sessions input').click()")
    page.settle()
    assert "places of monday" not in page.run("[...map.signs.map(s => s[2])].join()")
    assert page.run("map.cover(0.05).area") < both
    assert "seen by several" not in _text(page, "#covered")
    place = served.house.places[31].pose
    assert place is not None
    page.click(*_spot(page, place.x, place.y))
    page.wait("document.querySelector('#place dl')")
    assert "evening <b>" in _text(page, "#place")
    _loaded(page, "#place img")
    assert page.complaints == []


def test_ten_thousand_places_and_frames_load_little_and_draw_what_is_visible(
    page: Page, large: Served
) -> None:
    page.look()
    _open_run(page, large)
    assert "10,000 frames" in _text(page, "#counted")
    assert page.run("document.querySelectorAll('*').length") < 500
    assert not [path for path in large.house.asked if path.endswith("image") and "map" not in path]
    places, frames = map(int, page.run("map.element.dataset.drawn.match(/\\d+/g)"))
    assert 100 < places < 5000
    assert 100 < frames < 5000
    page.run("map.zoom(200)")
    page.settle()
    assert int(page.run("map.element.dataset.drawn.match(/\\d+/)[0]")) < places
    page.run("list.scrollTop = 200000; list.onscroll()")
    assert page.run("document.querySelectorAll('#frames li').length") < 40
    first = page.run("document.querySelector('#frames li').getAttribute('aria-posinset')")
    assert int(first) > 5000
    page.run("chooseFrame(7654)")
    page.wait("frame.answer && frame.answer.name === 'frame 7654.jpg'")
    _loaded(page, "#frame-answer .pair img")
    assert len([path for path in large.house.asked if path.endswith("image")]) < 12
    assert page.complaints == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [(1280, 800), (360, 740)])
def test_the_page_is_accessible_and_fits(
    page: Page, served: Served, photo: Path, size: tuple[int, int], dark: bool
) -> None:
    page.look(*size, dark=dark, phone=size[0] < 500)
    served.house.streams.append("robot-1")
    page.open(served.url)
    page.choose("#photo", photo)
    page.wait("document.querySelector('#photo-answer h3')")
    assert page.run("matchMedia('(prefers-color-scheme: dark)').matches") == dark
    for tab in ("photo", "live", "run", "places"):
        page.run(f"document.getElementById('tab-{tab}').click()")
        if tab == "live":
            page.wait("document.querySelector('#live-answer h3')")
        if tab == "run":
            page.wait("run && document.querySelectorAll('#frames li').length")
            page.run("chooseFrame(8)")
            page.wait("frame.answer")
        page.settle()
        assert page.faults() == [], tab
        wide, window = page.run("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window, tab
    assert page.run("document.getElementById('map').clientHeight") >= 240
