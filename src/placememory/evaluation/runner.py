"""Run an evaluation: describe each traverse once, then run and score every system."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from placememory._types import TitledProgress
from placememory.encoders import (
    Encoder,
    Workers,
    create,
    info,
    make_like,
    with_projection,
)
from placememory.encoders.registry import can_make_elsewhere
from placememory.errors import PlaceMemoryError, SettingError, WeightsError
from placememory.evaluation.batch_audit import AuditMode, BatchAudit, audit_batches
from placememory.evaluation.config import (
    NO_ENCODER,
    DatasetConfig,
    EncoderConfig,
    Evaluation,
    Settings,
    read_evaluation,
)
from placememory.evaluation.content import (
    Content,
    Contents,
    describe_missing,
    digest_rows,
    files_of,
)
from placememory.evaluation.describe import (
    CachedTraverse,
    TraverseDescriptors,
    describe,
    fit_on,
    read_descriptors,
)
from placememory.evaluation.online import Answers, localize_run
from placememory.evaluation.output import About, is_current, write_run, write_windows
from placememory.evaluation.plan import (
    Question,
    Run,
    RunReport,
    forget_traverses,
    question_of,
    read_traverse,
    runs_of,
)
from placememory.evaluation.score import Scores
from placememory.evaluation.tables import EvaluationTable, OverallTable
from placememory.evaluation.windows import (
    describe_windows,
    read_windows,
    retrieve_windows,
    windows_of,
    windows_of_run,
)
from placememory.frames import Frame
from placememory.memory import list_background

_MAX_WORKERS = 64

Answerer = Callable[[Run, Question, TraverseDescriptors, TraverseDescriptors], Answers]
"""Runs a system of the kind ``online``; see :func:`localize_run`."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One traverse through one encoder.

    Attributes:
        encoder: Which encoder.
        dataset: Which data set.
        fit: Traverse that the encoder is fitted on, where it needs it: the map's.
        split: Traverse to describe.
        windows: How its windows are made, where windows are described; else ``None``.
        background: Whether the shipped views of other places are described as well, for fusion.
    """

    encoder: EncoderConfig
    dataset: DatasetConfig
    fit: str
    split: str
    windows: Settings | None = None
    background: bool = False

    @property
    def title(self) -> str:
        """Words for people."""
        return f"{self.encoder.encoder}: {self.dataset.root.name} {self.split}"

    @property
    def key(self) -> str:
        """Key that differs between passes; those of one encoder are adjacent when sorted."""
        windows = "" if self.windows is None else self.windows.model_dump_json()
        parts = (self.encoder.model_dump_json(), self.dataset.model_dump_json(), self.fit)
        return "|".join((*parts, self.split, windows, str(self.background)))


def evaluate(
    evaluation: Evaluation | Path | str,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    devices: Sequence[str] = ("cpu",),
    fresh: bool = False,
    cached: bool = True,
    figures: bool = True,
    answer: Answerer = localize_run,
    audit: AuditMode = "auto",
    command: str = "",
    progress: TitledProgress | None = None,
) -> EvaluationTable:
    """Do the runs that are not done yet; one that fails does not stop the others.

    Args:
        evaluation: What to run, or a YAML file that says it.
        workers: Processes that run and score, and that describe long traverses in shards, where
            there is one device, frames are image files and other processes can make the encoder.
        scheduler: Address of a Dask scheduler, ``tcp://host:8786``, whose workers describe the
            shards instead; see :class:`placememory.encoders.Workers`.
        devices: Of the encoders; traverses are shared out among them.
        fresh: Whether to describe and run anew what is there.
        cached: Whether descriptors are kept for the next time.
        figures: Whether each run draws its figures.
        answer: What runs a system; the Localizer by default.
        audit: Which encoders are encoded again at batch 1, 16 and shuffled, to see whether recall
            moves: ``auto``, those whose card says that descriptors depend on the batch; ``all``;
            or ``off``. See :class:`BatchAudit`.
        command: What makes these runs, for their files.
        progress: Called with what is being done, frames or runs done, and in all.

    Returns:
        A report for each run, in the order of :func:`runs_of`, as a table.

    Example:
        >>> table = evaluate("town.yaml")  # doctest: +SKIP
        >>> table.to_frame()[["system", "recall@1", "located"]]  # doctest: +SKIP
    """
    if not isinstance(evaluation, Evaluation):
        evaluation = read_evaluation(evaluation)
    runs = runs_of(evaluation)
    forget_traverses()
    contents = Contents()
    content = {run.folder: contents.of(run) for run in runs}
    todo = {
        run.folder
        for run in runs
        if fresh or not is_current(evaluation.output / run.folder, content[run.folder], audit)
    }
    open_runs = [run for run in runs if run.folder in todo]
    with _cache_folder(evaluation.cache if cached else None) as cache:
        passes = _passes(open_runs)
        found = _describe_all(
            passes, cache, devices, workers, scheduler, fresh=fresh, progress=progress
        )
        errors = {run.folder: "; ".join(e) for run in open_runs if (e := _failures(run, found))}
        ready = [run for run in open_runs if run.folder not in errors]
        for run in ready:
            if content[run.folder].key is None:  # weights that have been downloaded now
                content[run.folder] = contents.of(run)
        about, failed = _audit_all(ready, found, cache, devices[0], audit, command, progress)
        errors |= failed
        ready = [run for run in ready if run.folder not in failed]
        work = partial(
            _do,
            about=about,
            described=found,
            output=evaluation.output,
            contents=content,
            figures=figures,
            answer=answer,
        )
        overall = OverallTable(evaluation.output)
        errors |= _do_all(work, ready, workers, overall, progress)
    return EvaluationTable(
        RunReport(
            run,
            evaluation.output / run.folder,
            done_before=run.folder not in todo,
            error=errors.get(run.folder),
        )
        for run in runs
    )


def passes_of(run: Run) -> list[Pass]:
    """The traverses a run needs described, the map first."""
    encoders = [run.encoder] if run.encoder.encoder != NO_ENCODER else []
    if run.sequence is not None and run.sequence not in encoders:
        encoders.append(run.sequence)
    splits = dict.fromkeys([run.map_name, run.pair.query])
    windows = run.settings if run.system.kind == "windows" else None
    return [
        Pass(
            encoder,
            run.dataset,
            run.map_name,
            split,
            windows,
            background=run.system.fusion is not None and not info(encoder.encoder).sequence,
        )
        for encoder in encoders
        for split in splits
    ]


def describe_pass(
    one: Pass,
    cache: Path,
    device: str,
    *,
    fresh: bool = False,
    progress: TitledProgress | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> CachedTraverse:
    """Describe a traverse, as far as the cache does not hold it.

    Raises:
        PlaceMemoryError: The data set or an image cannot be read, weights are missing, or others.
    """
    cache = _cache_of(one, cache)
    encoder = _fit(one, cache, device, fresh)
    traverse = read_traverse(one.dataset, one.split)
    advance = None if progress is None else partial(progress, one.title)
    shared = _share(one.encoder, traverse.frames, device, workers, scheduler)
    if one.background:
        describe(encoder, list_background(), cache, fresh=fresh)
    if one.windows is None:
        return describe(
            encoder, traverse.frames, cache, fresh=fresh, progress=advance, workers=shared
        )
    windows = windows_of(
        traverse,
        one.windows.window,
        reverse=one.windows.reverse and one.split == one.fit,
        cut_last_frame=one.windows.cut_last_frame,
        protocol=one.windows.protocol,
    )
    return describe_windows(
        encoder, traverse, windows, cache, fresh=fresh, progress=advance, workers=shared
    )


def _cache_of(one: Pass, cache: Path) -> Path:
    """Folder of a pass: the hash of a card says nothing of the precision."""
    return cache if one.encoder.precision == "auto" else cache / one.encoder.precision


def _share(
    one: EncoderConfig, frames: Sequence[Frame], device: str, workers: int, scheduler: str | None
) -> Workers | None:
    """The workers that can describe frames; ``None`` where this process has to."""
    if scheduler is None and (
        workers == 1
        or not can_make_elsewhere(one.encoder)
        or any(frame.path is None for frame in frames)
    ):
        return None
    make = make_like(one.weights, device=device, precision=one.precision)
    return Workers(workers, scheduler, make)


_encoders: dict[tuple[Any, ...], Encoder] = {}


def _fit(one: Pass, cache: Path, device: str, fresh: bool) -> Encoder:
    """The encoder of a pass; the last one is kept, because passes come in its order."""
    config, options = one.encoder, dict(one.encoder.options)
    if one.windows is not None and info(config.encoder).sequence:
        options.setdefault("length", one.windows.window)
        if options["length"] != one.windows.window:
            raise SettingError(
                f"{config.encoder} describes windows of {options['length']} frames, not of "
                f"{one.windows.window}"
            )
    for file in files_of(config):
        if not file.is_there and not file.is_fetched:
            raise WeightsError(describe_missing(config, file))
    weights = str(Contents().weights(config))
    dataset = one.dataset.model_dump_json()
    parts = (config.model_dump_json(), weights, dataset, one.fit, device)
    key = (*parts, tuple(sorted(options.items())))
    if key not in _encoders:
        encoder = create(
            config.encoder, config.weights, device=device, precision=config.precision, **options
        )
        if config.projection is not None:
            encoder = with_projection(encoder, Path(config.projection))
        _encoders.clear()
        frames = read_traverse(one.dataset, one.fit).frames
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
    workers: int,
    scheduler: str | None,
    *,
    fresh: bool,
    progress: TitledProgress | None,
) -> dict[str, CachedTraverse | str]:
    """Describe all traverses into the cache: where they are, or the error, by key."""
    if len(devices) == 1:
        work = partial(_try, cache=cache, fresh=fresh, workers=workers, scheduler=scheduler)
        return {one.key: work(one, device=devices[0], progress=progress) for one in passes}
    if scheduler is not None:
        raise SettingError("a scheduler's workers each have the same device; give one, not several")
    found: dict[str, CachedTraverse | str] = {}
    with ProcessPoolExecutor(len(devices), mp_context=get_context("spawn")) as pool:
        waiting = {
            pool.submit(_try, one, cache, devices[i % len(devices)], fresh): one
            for i, one in enumerate(passes)
        }
        for done, future in enumerate(as_completed(waiting), start=1):
            found[waiting[future].key] = future.result()
            if progress is not None:
                progress("describing", done, len(passes))
    return found


def _try(
    one: Pass,
    cache: Path,
    device: str,
    fresh: bool,
    progress: TitledProgress | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> CachedTraverse | str:
    try:
        return describe_pass(
            one,
            cache,
            device,
            fresh=fresh,
            progress=progress,
            workers=workers,
            scheduler=scheduler,
        )
    except WeightsError as error:  # of all traverses alike
        return str(error)
    except PlaceMemoryError as error:
        return f"{one.title}: {error}"


def _failures(run: Run, found: dict[str, CachedTraverse | str]) -> list[str]:
    errors = (error for one in passes_of(run) if isinstance(error := found[one.key], str))
    return list(dict.fromkeys(errors))


def _audit_all(
    runs: Sequence[Run],
    described: dict[str, CachedTraverse | str],
    cache: Path,
    device: str,
    mode: AuditMode,
    command: str,
    progress: TitledProgress | None,
) -> tuple[dict[str, About], dict[str, str]]:
    """What is known of the encoders of each run in batches, and errors, by folder.

    Runs that ask the same of the same encoder share an audit.
    """
    done: dict[str, BatchAudit] = {}
    about: dict[str, About] = {}
    errors: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: run.encoder.model_dump_json()):
        passes = list({p.encoder.model_dump_json(): p for p in passes_of(run)}.values())
        fixed = {one.key: _place_of(one, described).batch_invariant for one in passes}
        due = [p for p in passes if mode == "all" or (mode == "auto" and not fixed[p.key])]
        audits = []
        try:
            for one in due:
                settings = "" if one.windows is None else one.windows.model_dump_json()
                key = "|".join((one.encoder.model_dump_json(), run.dataset.model_dump_json(),
                                run.pair.model_dump_json(), settings))  # fmt: skip
                if key not in done:
                    encoder = _fit(one, _cache_of(one, cache), device, fresh=False)
                    done[key] = audit_batches(
                        one.encoder.name, encoder, run, question_of(run), progress
                    )
                audits.append(done[key])
        except PlaceMemoryError as error:
            errors[run.folder] = f"batch audit: {error}"
        about[run.folder] = About(all(fixed.values()), tuple(audits), command)
    return about, errors


def _do(
    run: Run,
    described: dict[str, CachedTraverse | str],
    output: Path,
    contents: dict[str, Content],
    about: dict[str, About],
    figures: bool,
    answer: Answerer,
) -> str | None:
    """Run, score and write one run; the error if it failed."""
    try:
        question, content = question_of(run), contents[run.folder]
        if run.system.kind == "windows":
            windows = windows_of_run(run, question)
            rows = [
                read_windows(_place_of(one, described), traverse, part)
                for one, traverse, part in zip(
                    _both(passes_of(run)), (question.reference, question.query), windows,
                    strict=True,
                )
            ]  # fmt: skip
            scores = retrieve_windows(run, question, rows[0], rows[1])
            digests = digest_rows(rows[0]), digest_rows(rows[1])
            mine = replace(about[run.folder], descriptors=digests)
            write_windows(run, output, question, scores, content, page=figures, about=mine)
            return None
        splits = (run.map_name, run.pair.query)
        sides = [_read_split(run, split, described) for split in splits]
        answers = answer(run, question, sides[0], sides[1])
        reference, query = (digest_rows(side.descriptors, side.sequences) for side in sides)
        mine = replace(about[run.folder], descriptors=(reference, query))
        scores_of_run = Scores(answers, question, run.settings.ground_truth)
        write_run(run, output, scores_of_run, content, figures=figures, about=mine)
    except PlaceMemoryError as error:
        return str(error)
    return None


def _both(passes: list[Pass]) -> list[Pass]:
    """Passes of the map and of the query, where they may be one."""
    return [passes[0], passes[-1]]


def _place_of(one: Pass, described: dict[str, CachedTraverse | str]) -> CachedTraverse:
    where = described[one.key]
    assert isinstance(where, CachedTraverse)
    return where


def _read_split(
    run: Run, split: str, described: dict[str, CachedTraverse | str]
) -> TraverseDescriptors:
    """Frame descriptors of the frame encoder with the sequences of the sequence encoder."""
    frames = read_traverse(run.dataset, split).frames
    found = {
        one.encoder.model_dump_json(): read_descriptors(_place_of(one, described), frames)
        for one in passes_of(run)
        if one.split == split
    }
    windows = found[(run.sequence or run.encoder).model_dump_json()]
    rows = background = None
    if run.encoder.encoder != NO_ENCODER:
        rows = found[run.encoder.model_dump_json()].descriptors
    used = None if run.sequence is None and rows is not None else windows.sequences
    if run.system.fusion is not None and used is None and split == run.map_name:
        [one] = [one for one in passes_of(run) if one.split == split]
        background = _place_of(one, described).read_background()
    return TraverseDescriptors(rows, used, len(frames), windows.length, background)


def _do_all(
    work: Callable[[Run], str | None],
    runs: Sequence[Run],
    workers: int,
    overall: OverallTable,
    progress: TitledProgress | None,
) -> dict[str, str]:
    """Do all runs, in this process or several; errors by folder. The table grows run by run."""
    errors: dict[str, str] = {}
    for done, (run, error) in enumerate(_each(work, runs, min(workers, _MAX_WORKERS)), start=1):
        if error is not None:
            errors[run.folder] = error
        else:
            overall.add(run.folder)
        if progress is not None:
            progress("running systems", done, len(runs))
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
def _cache_folder(folder: Path | None) -> Iterator[Path]:
    """Folder of the cache; a temporary one without a cache."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="placememory-") as made:
        yield Path(made)
