"""Single images: the service answers what the Localizer and the memory answer."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import numpy as np
import pytest
from PIL import Image as PillowImage
from starlette.testclient import TestClient

from placememory.frames import Pose, read_image
from placememory.localization import Localizer
from placememory.memory import PlaceMemory, Where
from placememory.serve.app import create_app
from placememory.serve.batching import BatchingEncoder
from placememory.serve.models import LocalizedImage
from tests.conftest import make_card
from tests.serve.toy import LOCAL, Blocks, client_of, code_of, picture, png

PNG = {"content-type": "image/png"}


def _known(answer: dict) -> dict:
    """What does not depend on the clock or on what a frame is called."""
    return {k: v for k, v in answer.items() if k not in ("milliseconds", "name", "image_size")}


def test_an_image_is_answered_as_by_a_localizer_that_has_seen_nothing(toy) -> None:
    with client_of(toy) as client:
        for number in (3, 7, 107, 999):
            image = picture(number)
            answer = client.post("/api/localize", content=png(image), headers=PNG).json()
            direct = Localizer(toy, Blocks(), verify=None).observe(image).to_dict()
            assert _known(answer) == _known(direct)
            assert answer["image_size"] == [160, 120]
            LocalizedImage.model_validate(answer)
        assert answer["verdict"] != "located"
        assert answer["pose"] is None


def test_one_image_is_located_where_the_localizer_says_so_and_only_there(office, building) -> None:
    images = [*sorted(building.query.glob("*.png"))[::9], building.query / building.off_map[0]]
    verdicts = set()
    with PlaceMemory.open(office, readonly=True) as memory:
        localizer = Localizer(memory)
        with TestClient(create_app(memory), LOCAL) as client:
            for path in images:
                answer = client.post("/api/localize?k=4", content=path.read_bytes(), headers=PNG)
                localizer.reset()
                localizer.k = 4
                direct = localizer.observe(path).to_dict()
                assert _known(answer.json()) == _known(direct)
                verdicts.add(direct["verdict"])
    assert len(verdicts) > 1


def test_forms_and_bodies_are_the_same_and_fields_are_parameters(toy) -> None:
    with client_of(toy) as client:
        data = png(picture(5))
        raw = client.post("/api/localize?k=3", content=data, headers=PNG).json()
        files = {"image": ("a.png", data, "image/png")}
        form = client.post("/api/localize", files=files, data={"k": "3"}).json()
        assert _known(raw) == _known(form)
        assert len(form["candidates"]) == 3
        bad = client.post("/api/localize", files=files, data={"k": "many"})
        assert (bad.status_code, code_of(bad)) == (422, "invalid_request")
        none = client.post("/api/localize", files={"photo": data})
        assert code_of(none) == "image_missing"


def test_a_prior_pose_is_a_seed(toy) -> None:
    with client_of(toy) as client:
        image = picture(400)
        answer = client.post(
            "/api/localize?x=12&y=0&yaw=0.1&spread=0.5", content=png(image), headers=PNG
        ).json()
        localizer = Localizer(toy, Blocks(), verify=None)
        localizer.seed(Pose.from_yaw(12.0, 0.0, 0.1), np.diag([0.25, 0.25, 0.35**2]))
        assert _known(answer) == _known(localizer.observe(image).to_dict())
        session, index = answer["belief"]["hypotheses"][0]["place"]
        assert session == "day"
        assert abs(index - 12) <= 2
        again = client.post("/api/localize", content=png(image), headers=PNG).json()
        assert _known(again) == _known(
            Localizer(toy, Blocks(), verify=None).observe(image).to_dict()
        )
        half = client.post("/api/localize?x=12", content=png(image), headers=PNG)
        assert half.status_code == 422


@pytest.mark.parametrize(
    "query",
    ["fx=100", "fx=100&fy=100&cx=80&cy=60&width=100&height=900", "fx=-1", "k=0", "x=nan&y=1"],
)
def test_impossible_parameters_are_refused(toy, query: str) -> None:
    with client_of(toy) as client:
        answer = client.post(f"/api/localize?{query}", content=png(picture(1)), headers=PNG)
        assert (answer.status_code, code_of(answer)) == (422, "invalid_request")


def test_search_is_that_of_the_memory(toy) -> None:
    image = picture(104)
    [row] = Blocks().encode([image])
    cases = {
        "k=3": (3, None),
        "session=day": (10, Where(session=["day"])),
        "session=day&session=floor%202/night&k=2": (2, Where(session=["day", "floor 2/night"])),
        "exclude_session=floor%202/night": (10, Where(exclude_sessions=["floor 2/night"])),
        "near=4,50&within=2": (10, Where(near=(4.0, 50.0), radius=2.0)),
        "near=4,50&within=0": (10, Where(near=(4.0, 50.0), radius=0.0)),
        "floor=attic": (10, Where(floor="attic")),
    }
    with client_of(toy) as client:
        for query, (k, where) in cases.items():
            answer = client.post(f"/api/search?{query}", content=png(image), headers=PNG).json()
            assert answer["candidates"] == toy.search(row, k, where)[0].to_dict(), query
        for query in ("near=4,50", "near=x&within=1", "near=1&within=1", "exclude_session=noon"):
            refused = client.post(f"/api/search?{query}", content=png(image), headers=PNG)
            assert (refused.status_code, code_of(refused)) == (422, "invalid_request"), query


def test_exif_turns_an_image_as_in_a_file(toy, tmp_path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    PillowImage.fromarray(picture(2)).save(file, "JPEG", exif=exif)
    (tmp_path / "turned.jpg").write_bytes(file.getvalue())
    image = read_image(tmp_path / "turned.jpg")
    with client_of(toy) as client:
        answer = client.post(
            "/api/localize", content=file.getvalue(), headers={"content-type": "image/jpeg"}
        ).json()
    assert answer["image_size"] == [120, 160]
    assert _known(answer) == _known(Localizer(toy, Blocks(), verify=None).observe(image).to_dict())


def test_requests_at_the_same_time_get_their_own_answers(toy) -> None:
    with client_of(toy, max_rate=0) as client, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> list:
            answer = client.post("/api/localize", content=png(picture(number)), headers=PNG)
            return [answer.json()["candidates"][0][name] for name in ("session", "index")]

        assert list(pool.map(ask, range(30))) == [["day", i] for i in range(30)]


def test_images_that_wait_are_encoded_together_unless_the_batch_matters() -> None:
    for invariant, expected in ((True, [1, 3]), (False, [1, 1, 1, 1])):
        begun, go, sizes = Event(), Event(), []

        class Slow(Blocks):
            card = make_card(48, batch_invariant=invariant)

            def encode(self, images, begun=begun, go=go):
                begun.set()
                assert go.wait(60)
                return super().encode(images)

        with BatchingEncoder(Slow(), on_batch=sizes.append) as encoder:
            rows: dict[int, np.ndarray] = {}

            def work(i: int, encoder=encoder, rows=rows) -> None:
                rows[i] = encoder.encode([picture(i)])[0]

            threads = [Thread(target=work, args=(i,)) for i in range(4)]
            threads[0].start()
            assert begun.wait(60)
            for thread in threads[1:]:
                thread.start()
            while encoder.waiting < 3:
                time.sleep(0.001)
            go.set()
            for thread in threads:
                thread.join()
        assert sizes == expected
        for i, row in rows.items():
            assert np.array_equal(row, Blocks().encode([picture(i)])[0])


def test_an_image_that_fails_does_not_take_others_with_it() -> None:
    class Picky(Blocks):
        def encode(self, images):
            if any(image.shape[0] == 7 for image in images):
                raise ValueError("seven rows")
            return super().encode(images)

    with BatchingEncoder(Picky()) as encoder, ThreadPoolExecutor(6) as pool:
        bad = np.zeros((7, 9, 3), np.uint8)
        futures = [pool.submit(encoder.encode, [bad if i == 3 else picture(i)]) for i in range(6)]
        for i, future in enumerate(futures):
            if i == 3:
                assert isinstance(future.exception(), ValueError)
            else:
                assert np.array_equal(future.result(), Blocks().encode([picture(i)]))
