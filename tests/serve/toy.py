"""A small memory with images, whose encoder costs nothing, and its service."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from starlette.testclient import TestClient

from placememory.encoders import EncoderCard, Preprocess
from placememory.frames import Frame, Image, Pose, read_image
from placememory.memory import PlaceMemory
from placememory.serve.app import create_app
from placememory.serve.settings import ServeSettings

LOCAL = "http://127.0.0.1"


class Blocks:
    """Mean colours of 4 x 4 blocks, centred."""

    card = EncoderCard(name="blocks", dim=48, preprocess=Preprocess(longest=32))

    def encode(self, images: Sequence[Image]) -> np.ndarray:
        rows = []
        for image in images:
            small = PillowImage.fromarray(image).resize((4, 4), PillowImage.Resampling.BOX)
            row = np.asarray(small, np.float32).ravel()
            rows.append(row - row.mean() + 1e-3)
        found = np.array(rows, np.float32).reshape(-1, 48)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def picture(number: int) -> Image:
    """An image of its own for each number, with edges everywhere."""
    rng = np.random.default_rng(number)
    large = rng.integers(0, 255, (6, 8, 3), np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    return np.clip(large + rng.normal(0, 12, large.shape), 0, 255).astype(np.uint8)


def png(image: Image) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(image).save(file, "PNG")
    return file.getvalue()


def make_memory(folder: Path, count: int = 30) -> PlaceMemory:
    """Two sessions along a line, a metre apart; the images lie in the folder."""
    memory = PlaceMemory.create(folder / "toy.memory", encoder=Blocks.card)
    frames, images = [], []
    for session, start in (("day", 0), ("floor 2/night", 100)):
        root = folder / session.replace("/", "_")
        root.mkdir(parents=True)
        for i in range(count):
            name = f"{i:03d}.png"
            (root / name).write_bytes(png(picture(start + i)))
            images.append(read_image(root / name))
            pose = Pose.from_yaw(float(i), 0.0 if session == "day" else 50.0, 0.0)
            frames.append(Frame(name, session, i, stamp=i * 10**9, pose=pose))
        memory.set_sources({session: root})
    memory.add(frames, Blocks().encode(images))
    return memory


def client_of(memory: PlaceMemory, **settings: object) -> TestClient:
    """A client of its service, without local features; enter it."""
    app = create_app(memory, ServeSettings(verify=False, **settings), encoder=Blocks())
    return TestClient(app, LOCAL, raise_server_exceptions=False)


def code_of(response) -> str:
    """The code of an answer that refuses, whose shape is checked."""
    assert response.status_code >= 400
    error = response.json()["error"]
    assert set(error) == {"code", "message", "id"}
    assert error["message"]
    assert error["id"] == response.headers["x-request-id"]
    return error["code"]


def connect(client: TestClient, path: str, **settings: object):
    """A websocket to the service."""
    return client.websocket_connect(f"ws://127.0.0.1{path}", **settings)
