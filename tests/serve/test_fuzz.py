"""Requests made up from the service's own OpenAPI: none is answered by a failure."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient

schemathesis = pytest.importorskip("schemathesis")

from placememory.serve.app import create_app  # noqa: E402
from placememory.serve.settings import ServeSettings  # noqa: E402
from tests.serve.toy import LOCAL, Blocks, client_of, code_of, picture, png  # noqa: E402

CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.specs.openapi.checks.status_code_conformance,
    schemathesis.specs.openapi.checks.content_type_conformance,
    schemathesis.specs.openapi.checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def schema(toy):
    app = create_app(toy, ServeSettings(max_rate=0, max_streams=4), encoder=Blocks())
    with TestClient(app, LOCAL):
        yield schemathesis.openapi.from_asgi("/openapi.json", app, headers={"host": "127.0.0.1"})
