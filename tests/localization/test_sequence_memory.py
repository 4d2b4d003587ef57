"""CaseVPR's hierarchy online: sequence descriptors in the memory give the candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from placememory import Localizer, PlaceMemory, list_frames
from placememory.encoders import SequenceEncoder, create
from placememory.errors import EncoderError, EncoderMismatchError
from placememory.memory.build import build
from tests.conftest import run_command
from tests.evaluation.made import write_image

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

LENGTH = 3


@pytest.fixture(scope="module")
def run1(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sequence") / "run1"
    for i in range(12):
        write_image(folder / f"{i:03d}.png", seed=i)
    return folder


@pytest.fixture(scope="module")
def jist() -> SequenceEncoder:
    encoder = create("jist", "random", length=LENGTH)
    assert isinstance(encoder, SequenceEncoder)
    return encoder


def test_a_build_describes_windows_and_the_localizer_searches_them(
    run1: Path, jist: SequenceEncoder, tmp_path: Path
) -> None:
    frames = list_frames(run1)
    with build(
        tmp_path / "m", run1, encoder=create("lite-vlad", words=4), sequence_encoder=jist
    ) as memory:
        sequences = memory.rows.sequences
        assert np.isnan(sequences[:, 0]).tolist() == [True] * (LENGTH - 1) + [False] * 10
        window = jist.encode_window([frame.image() for frame in frames[4:7]]).sequence
        np.testing.assert_allclose(sequences[6], window / np.linalg.norm(window), atol=1e-5)
        assert memory.sequence_card.hash == jist.card.hash
        localizer = Localizer(
            memory, sequence_encoder=jist, matcher="sequence-only", window=LENGTH, fusion=None
        )
        estimates = [localizer.observe(frame) for frame in frames]
        for i, estimate in enumerate(estimates):
            assert estimate.candidates[0].place.index == i
            assert estimate.candidates[0].similarity > 0.999
            if i >= LENGTH - 1:
                assert estimate.match.places[-1].index == i
                assert all(c.place.index >= LENGTH - 1 for c in estimate.candidates)


def test_a_run_added_later_is_described_too_and_a_rerun_does_nothing(
    run1: Path, jist: SequenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kwargs = {"encoder": create("cosplace", "random", dim=32), "sequence_encoder": jist}
    build(tmp_path / "m", run1, **kwargs).close()
    with build(tmp_path / "m", run1, session="again", **kwargs) as memory:
        assert np.isnan(memory.rows.sequences[:, 0]).sum() == 2 * (LENGTH - 1)
        before = memory.rows.sequences.copy()
    with build(tmp_path / "m", run1, session="again", **kwargs) as memory:
        np.testing.assert_array_equal(memory.rows.sequences, before)
        assert (memory.report.added, memory.report.present) == (0, 12)
    other = create("jist", "random", length=LENGTH + 1)
    with pytest.raises(EncoderMismatchError, match="sequence descriptors"):
        build(tmp_path / "m", run1, encoder=kwargs["encoder"], sequence_encoder=other)
    with pytest.raises(EncoderError, match="not windows"):
        build(tmp_path / "n", run1, encoder="lite-vlad", sequence_encoder="lite-vlad")


def test_one_encoder_may_describe_frames_and_windows(run1: Path, tmp_path: Path) -> None:
    encoder = create("seqnet", "random", length=LENGTH)
    frames = list_frames(run1)[:6]
    with build(tmp_path / "m", frames, encoder=encoder, sequence_encoder=encoder) as memory:
        described = list(encoder.encode_stream(frame.image() for frame in frames))
        np.testing.assert_allclose(memory.descriptors, [d.frame for d in described], atol=1e-5)
        localizer = Localizer(memory, encoder, fusion=None)
        estimates = [localizer.observe(frame) for frame in frames]
        assert [e.candidates[0].place.index for e in estimates] == list(range(6))


def test_the_commands(run1: Path, tmp_path: Path) -> None:
    memory, weights = tmp_path / "m", ("--sequence-weights", "random")
    run_command(
        "build", memory, run1, "--encoder", "lite-vlad", "--set", "words=4",
        "--sequence-encoder", "jist", *weights,
    )  # fmt: skip
    with PlaceMemory.open(memory, readonly=True) as opened:
        assert opened.sequence_card.name == "jist"
    shown = run_command(
        "localize", memory, run1, "--out", tmp_path / "answers", "--matcher", "sequence-only",
        *weights,
    )  # fmt: skip
    assert "12 frames" in shown.err
