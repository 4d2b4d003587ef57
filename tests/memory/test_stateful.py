"""Any sequence of writes leaves a memory equal to a plain dictionary of what was written."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from placememory.memory import PlaceMemory
from placememory.memory.rows import PlaceRows
from tests.conftest import make_card, make_descriptors, make_frames

SESSIONS = st.sampled_from(["run1", 'it\'s\n"2" \\ü', ""])
DIM, SEQUENCE_DIM = 8, 4


class _Machine(RuleBasedStateMachine):
    """Writes go to a memory and to a dictionary of place id to place and descriptors."""

    prefix: ClassVar[str] = ""
    dtype: ClassVar[str] = "float32"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.uri = f"{self.prefix}{self.folder / 'm'}"
        self.memory = PlaceMemory.create(
            self.uri, encoder=make_card(DIM), dtype=self.dtype, sequence_dim=SEQUENCE_DIM
        )
        self.model: dict[tuple[str, int], tuple] = {}
        self.floor = 0

    @rule(
        session=SESSIONS,
        start=st.integers(0, 6),
        count=st.integers(0, 4),
        seed=st.integers(0, 3),
        sequences=st.booleans(),
    )
    def add(self, session: str, start: int, count: int, seed: int, sequences: bool) -> None:
        self.floor += 1
        frames = [
            replace(frame, floor=str(self.floor)) for frame in make_frames(count, session, start)
        ]
        descriptors = make_descriptors(count, DIM, seed)
        kept = make_descriptors(count, SEQUENCE_DIM, seed) if sequences else None
        assert self.memory.add(frames, descriptors, kept) == count
        for i, frame in enumerate(frames):
            sequence = np.full(SEQUENCE_DIM, np.nan, np.float32) if kept is None else kept[i]
            self.model[session, frame.index] = (
                frame,
                descriptors[i].astype(self.dtype).astype(np.float32),
                sequence.astype(self.dtype).astype(np.float32),
            )

    @rule(session=SESSIONS)
    def remove(self, session: str) -> None:
        known = [key for key in self.model if key[0] == session]
        if known:
            assert self.memory.remove(session) == len(known)
            for key in known:
                del self.model[key]

    @rule()
    def write_what_is_there_again(self) -> None:
        rows = self.memory.rows
        self.memory.add_rows(PlaceRows(rows.places, rows.descriptors, rows.sequences))

    @rule()
    def reopen(self) -> None:
        self.memory.close()
        self.memory = PlaceMemory.open(self.uri)

    @rule()
    def refresh(self) -> None:
        self.memory.refresh()

    @rule(seed=st.integers(0, 3), k=st.integers(1, 9))
    def search(self, seed: int, k: int) -> None:
        query = make_descriptors(1, DIM, seed)[0]
        [found] = self.memory.search(query, k)
        keys = sorted(self.model)
        scores = {
            key: np.float32((self.model[key][1].astype(np.float64) * query).sum()) for key in keys
        }
        best = sorted(keys, key=lambda key: (-scores[key], key))[:k]
        assert [c.place.id for c in found] == best

    @invariant()
    def holds_what_was_written(self) -> None:
        rows, keys = self.memory.rows, sorted(self.model)
        assert [place.id for place in rows.places] == keys
        assert [place.floor for place in rows.places] == [self.model[k][0].floor for k in keys]
        for row, key in enumerate(keys):
            np.testing.assert_array_equal(rows.descriptors[row], self.model[key][1])
            np.testing.assert_array_equal(rows.sequences[row], self.model[key][2])
        assert self.memory.manifest.count == len(keys)
        assert self.memory.manifest.checksum == int(rows.checksums.sum())

    def teardown(self) -> None:
        self.memory.close()
        shutil.rmtree(self.folder)


@pytest.mark.parametrize(
    ("kind", "dtype", "examples", "steps"),
    [("sqlite", "float32", 40, 20), ("sqlite", "float16", 20, 15), ("lite", "float32", 3, 12)],
)
def test_a_memory_equals_a_dictionary(kind: str, dtype: str, examples: int, steps: int) -> None:
    if kind == "lite":
        pytest.importorskip("milvus_lite", reason="the extra 'milvus' is not installed")
    machine = type("Machine", (_Machine,), {"prefix": _PREFIX[kind], "dtype": dtype})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


_PREFIX = {"sqlite": "", "lite": "milvus-lite:"}
