"""The memory as it is shown: map, places, their images; and what other processes write."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image as PillowImage

from placememory.frames import Frame
from placememory.memory import Place, PlaceMemory
from tests.serve.toy import Blocks, client_of, code_of, picture, png


def test_places_are_columns_in_the_order_of_the_memory(toy) -> None:
    with client_of(toy) as client:
        sessions = client.get("/api/map").json()["sessions"]
        whole = client.get("/api/places").json()
        part = client.get("/api/places?offset=25&limit=10").json()
    assert sessions == [{"name": "day", "count": 30}, {"name": "floor 2/night", "count": 30}]
    assert whole["total"] == 60
    for row, place in enumerate(toy.places):
        assert sessions[whole["session"][row]]["name"] == place.session
        assert (whole["index"][row], whole["name"][row]) == (place.index, place.name)
        assert (whole["x"][row], whole["y"][row]) == (place.pose.x, place.pose.y)
    for name in ("session", "index", "x", "y", "yaw", "name"):
        assert part[name] == whole[name][25:35]


def test_a_place_and_its_image(toy) -> None:
    with client_of(toy) as client:
        place = client.get("/api/places/floor 2/night/7").json()
        assert place["session"] == "floor 2/night"
        assert Place.from_dict({k: v for k, v in place.items() if k != "image"}) == toy.places[37]
        answer = client.get(place["image"] + "?width=80")
        assert answer.headers["content-type"] == "image/jpeg"
        image = np.asarray(PillowImage.open(io.BytesIO(answer.content)))
        assert image.shape == (60, 80, 3)
        assert np.abs(image.astype(int) - picture(107)[::2, ::2]).mean() < 20
        assert np.abs(image.astype(int) - picture(106)[::2, ::2]).mean() > 40
        for address in ("day/30", "night/0", "day/-1", "day/99999999999999999999"):
            assert client.get(f"/api/places/{address}").status_code in (404, 422), address


def test_names_that_lead_out_of_their_folder_have_no_image(own, tmp_path) -> None:
    (tmp_path / "secret.png").write_bytes(png(picture(1)))
    names = ["../../secret.png", str(tmp_path / "secret.png"), "a/../../../secret.png"]
    own.add([Frame(name, "day", 90 + i) for i, name in enumerate(names)], np.eye(48)[:3])
    with client_of(own) as client:
        for i in range(3):
            answer = client.get(f"/api/places/day/{90 + i}/image")
            assert (answer.status_code, code_of(answer)) == (404, "image_gone")


def test_what_others_write_is_seen(own) -> None:
    with client_of(own) as client:
        new = picture(500)
        body = {"content": png(new), "headers": {"content-type": "image/png"}}
        before = client.post("/api/localize", **body).json()
        with PlaceMemory.open(own.uri) as other:
            other.add([Frame("new.png", "later", 0)], Blocks().encode([new]))
        client.app.state.service.engine.refresh()
        after = client.post("/api/localize", **body).json()
        assert after["revision"] == client.get("/api/health").json()["revision"]
    assert after["revision"] != before["revision"]
    assert after["candidates"][0]["session"] == "later"


def test_the_map_is_a_picture_with_its_place(own, building, tmp_path) -> None:
    with client_of(own) as client:
        assert client.get("/api/map").json()["image"] is None
        assert code_of(client.get("/api/map/image")) == "no_map"
    with client_of(own, map_yaml=building.map_yaml) as client:
        image = client.get("/api/map").json()["image"]
        shown = np.asarray(PillowImage.open(io.BytesIO(client.get(image["url"]).content)))
    assert shown.shape == (image["height"], image["width"])
    with PillowImage.open(building.map_yaml.with_suffix(".pgm")) as drawn:
        assert np.array_equal(shown, np.asarray(drawn))


def test_names_that_are_no_utf8_are_shown(own) -> None:
    own.add([Frame("caf\udce9.png", "day", 77)], np.eye(48)[:1])
    with client_of(own) as client:
        assert client.get("/api/places/day/77").json()["name"] == "caf\udce9.png"
        assert "caf\udce9.png" in client.get("/api/places").json()["name"]


def test_the_page_and_its_files_are_served_and_nothing_beside_them(toy) -> None:
    with client_of(toy, token="geheim") as client:
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        files = re.findall(r'(?:src|href)="(static/[^"]+)"', page.text)
        assert len(files) >= 2
        for file in files:
            assert client.get(f"/{file}").status_code == 200, file
        for file in ("../app.py", "%2e%2e/app.py", "..%2fapp.py", "none.js", "/etc/passwd"):
            answer = client.get(f"/static/{file}")
            assert (answer.status_code, code_of(answer)) == (404, "not_found"), file
