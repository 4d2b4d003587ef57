"""Run an evaluation: describe each traverse once, then match and score every run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from placememory._types import TitledProgress
from placememory.datasets import Traverse, open_dataset
from placememory.encoders import Encoder, create
from placememory.errors import PlaceMemoryError
from placememory.evaluation.config import NO_ENCODER, DatasetConfig, EncoderConfig, Evaluation
from placememory.evaluation.describe import Described, describe, fit_on, read_described, unrelated
from placememory.evaluation.match import match_run
from placememory.evaluation.output import is_done, write_run
from placememory.evaluation.plan import Run, runs_of
from placememory.pipeline import TraverseDescriptors

_MAX_WORKERS = 64


@dataclass(frozen=True, slots=True)
class Pass:
    """One traverse through one encoder.

    Attributes:
        encoder: Which encoder.
        dataset: Which data set.
        fit: Traverse that the encoder is fitted on, where it needs it: the map's.
        split: Traverse to describe.
    """

    encoder: EncoderConfig
    dataset: DatasetConfig
    fit: str
    split: str

    @property
    def title(self) -> str:
        """Words for people."""
        return f"{self.encoder.encoder}: {self.dataset.root.name} {self.split}"

    @property
    def key(self) -> str:
        """What tells passes apart; those of one encoder stand together when sorted."""
        parts = (self.encoder.model_dump_json(), self.dataset.model_dump_json(), self.fit)
        return "|".join((*parts, self.split))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        run: The run.
        folder: Where its files are.
        done_before: Whether it was there already.
        error: Why it failed; ``None`` if it did not.
    """

    run: Run
    folder: Path
    done_before: bool = False
    error: str | None = None


def evaluate(
    evaluation: Evaluation,
    *,
    workers: int = 1,
    devices: Sequence[str] = ("cpu",),
    fresh: bool = False,
    cached: bool = True,
    figures: bool = True,
    progress: TitledProgress | None = None,
) -> list[Outcome]:
    """Run what is not done; a run that fails does not stop the others.

    Args:
        evaluation: What to run.
        workers: Processes that match and score.
        devices: Of the encoders; traverses are shared out among them.
        fresh: Whether to describe and run anew what is there.
        cached: Whether descriptors are kept for the next time.
        figures: Whether each run draws its figures.
        progress: Called with what is being done, frames or runs done, and in all.

    Returns:
        One outcome for each run, in the order of :func:`runs_of`.
    """
    runs = runs_of(evaluation)
    todo = {run.folder for run in runs if fresh or not is_done(evaluation.output / run.folder)}
    open_runs = [run for run in runs if run.folder in todo]
    with cache_folder(evaluation.cache if cached else None) as cache:
        passes = _passes(open_runs)
        found = _describe_all(passes, cache, devices, fresh=fresh, progress=progress)
        errors = {run.folder: "; ".join(e) for run in open_runs if (e := _failures(run, found))}
        ready = [run for run in open_runs if run.folder not in errors]
        work = partial(_do, described=found, output=evaluation.output, figures=figures)
        errors |= _all(work, ready, workers, "matching", progress)
    return [
        Outcome(
            run,
            evaluation.output / run.folder,
            done_before=run.folder not in todo,
            error=errors.get(run.folder),
        )
        for run in runs
    ]


def passes_of(run: Run) -> list[Pass]:
    """The traverses a run needs described, the map first."""
    encoders = [run.encoder] if run.encoder.encoder != NO_ENCODER else []
    if run.sequence is not None and run.sequence not in encoders:
        encoders.append(run.sequence)
    splits = dict.fromkeys([run.map_name, run.pair.query])
    return [Pass(e, run.dataset, run.map_name, split) for e in encoders for split in splits]


def describe_pass(
    one: Pass,
    cache: Path,
    device: str,
    *,
    fresh: bool = False,
    progress: TitledProgress | None = None,
) -> Described:
    """Describe a traverse, as far as the cache does not hold it.

    Raises:
        PlaceMemoryError: The data set or an image cannot be read, weights are missing, or others.
    """
    encoder = _fitted(one.encoder, one.dataset, one.fit, cache, device, fresh)
    frames = read_traverse(one.dataset, one.split).frames
    told = None if progress is None else partial(progress, one.title)
    return describe(encoder, frames, cache, fresh=fresh, progress=told)


@lru_cache(maxsize=8)
def _read(
    root: Path, layout: str | None, options: tuple[tuple[str, Any], ...], split: str
) -> Traverse:
    return open_dataset(layout, root, **dict(options)).traverse(split)


def read_traverse(dataset: DatasetConfig, split: str) -> Traverse:
    """A traverse of a data set; the last few are kept."""
    return _read(dataset.root, dataset.layout, tuple(sorted(dataset.options.items())), split)


_encoders: dict[tuple[Any, ...], Encoder] = {}


def _fitted(
    config: EncoderConfig, dataset: DatasetConfig, split: str, cache: Path, device: str, fresh: bool
) -> Encoder:
    """The encoder of a pass; the last one is kept, because passes come in its order."""
    key = (config.model_dump_json(), dataset.model_dump_json(), split, device)
    if key not in _encoders:
        encoder = create(
            config.encoder,
            config.weights,
            device=device,
            precision=config.precision,
            **config.options,
        )
        _encoders.clear()
        frames = read_traverse(dataset, split).frames
        _encoders[key] = fit_on(encoder, frames, cache, fresh=fresh)
    return _encoders[key]


def _passes(runs: Sequence[Run]) -> list[Pass]:
    """All passes of the runs, each once, those of one encoder after another."""
    unique = {one.key: one for run in runs for one in passes_of(run)}
    return [unique[key] for key in sorted(unique)]


def _describe_all(
    passes: Sequence[Pass],
    cache: Path,
    devices: Sequence[str],
    *,
    fresh: bool,
    progress: TitledProgress | None,
) -> dict[str, Described | str]:
    """Describe all traverses into the cache: where they are, or the error, by key."""
    if len(devices) == 1:
        return {one.key: _try(one, cache, devices[0], fresh, progress) for one in passes}
    found: dict[str, Described | str] = {}
    with ProcessPoolExecutor(len(devices), mp_context=get_context("spawn")) as pool:
        waiting = {
            pool.submit(_try, one, cache, devices[i % len(devices)], fresh, None): one
            for i, one in enumerate(passes)
        }
        for done, future in enumerate(as_completed(waiting), start=1):
            found[waiting[future].key] = future.result()
            if progress is not None:
                progress("describing", done, len(passes))
    return found


def _try(
    one: Pass, cache: Path, device: str, fresh: bool, progress: TitledProgress | None
) -> Described | str:
    try:
        return describe_pass(one, cache, device, fresh=fresh, progress=progress)
    except PlaceMemoryError as error:
        return f"{one.title}: {error}"


def _failures(run: Run, found: dict[str, Described | str]) -> list[str]:
    return [error for one in passes_of(run) if isinstance(error := found[one.key], str)]


def _do(run: Run, described: dict[str, Described | str], output: Path, figures: bool) -> str | None:
    """Match, score and write one run; the error if it failed."""
    try:
        query = read_traverse(run.dataset, run.pair.query)
        reference = read_traverse(run.dataset, run.map_name)
        rows = [_together(run, split, described) for split in (run.map_name, run.pair.query)]
        matched = match_run(run, reference, query, *rows)
        write_run(run, output, reference, query, matched, figures=figures)
    except PlaceMemoryError as error:
        return str(error)
    return None


def _together(run: Run, split: str, described: dict[str, Described | str]) -> TraverseDescriptors:
    """Frame descriptors of the frame encoder with the sequences of the sequence encoder."""
    frames = read_traverse(run.dataset, split).frames
    found: dict[str, TraverseDescriptors] = {}
    for one in passes_of(run):
        where = described[one.key]
        if one.split == split and isinstance(where, Described):
            found[one.encoder.model_dump_json()] = read_described(where, frames)
    sequences = None
    if run.sequence is not None:
        sequences = found[run.sequence.model_dump_json()].sequences
    if run.encoder.encoder == NO_ENCODER:
        return TraverseDescriptors(unrelated(len(frames)), sequences)
    return TraverseDescriptors(found[run.encoder.model_dump_json()].descriptors, sequences)


def _all(
    work: Callable[[Run], str | None],
    runs: Sequence[Run],
    workers: int,
    label: str,
    progress: TitledProgress | None,
) -> dict[str, str]:
    """Do all runs, in this process or several; errors by folder."""
    errors: dict[str, str] = {}
    for done, (run, error) in enumerate(_each(work, runs, min(workers, _MAX_WORKERS)), start=1):
        if error is not None:
            errors[run.folder] = error
        if progress is not None:
            progress(label, done, len(runs))
    return errors


def _each(
    work: Callable[[Run], str | None], runs: Sequence[Run], workers: int
) -> Iterator[tuple[Run, str | None]]:
    if workers <= 1 or len(runs) <= 1:
        for run in runs:
            yield run, work(run)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: dict[Future[str | None], Run] = {pool.submit(work, run): run for run in runs}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


@contextmanager
def cache_folder(folder: Path | None) -> Iterator[Path]:
    """Folder of the cache; one that vanishes where nothing is to be kept."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="placememory-") as made:
        yield Path(made)
