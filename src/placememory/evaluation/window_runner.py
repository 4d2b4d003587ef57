"""Run an evaluation of sequence encoders: recalls, predictions and a page for each run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from placememory._io import write_json
from placememory._types import TitledProgress
from placememory._version import __version__
from placememory.datasets import Traverse
from placememory.encoders import SequenceEncoder, create, info
from placememory.errors import PlaceMemoryError
from placememory.evaluation.config import (
    DatasetConfig,
    ModelConfig,
    Pair,
    SequenceEvaluation,
    WindowSettings,
)
from placememory.evaluation.describe import fit_on
from placememory.evaluation.output import CONFIG, METRICS, is_done
from placememory.evaluation.plan import with_digest
from placememory.evaluation.runner import cache_folder, read_traverse
from placememory.evaluation.windows import (
    Retrieved,
    describe_windows,
    recalls,
    reduce_to,
    retrieve,
    windows_of,
)
from placememory.metrics.sequences import sequence_truth

PREDICTIONS, PAGE = "predictions.json", "failures.html"


@dataclass(frozen=True, slots=True, eq=False)
class SequenceRun:
    """One model on one pair of traverses."""

    model_name: str
    model: ModelConfig
    dataset_name: str
    dataset: DatasetConfig
    pair: Pair
    settings: WindowSettings
    variant: str

    @property
    def title(self) -> str:
        """Words for people."""
        words = f"{self.model_name} on {self.dataset_name}: {self.pair.query} in {self.database}"
        return words + (f" ({self.variant})" if self.variant else "")

    @property
    def database(self) -> str:
        """Traverse that is searched."""
        return self.pair.reference or self.pair.query

    def to_dict(self) -> dict[str, Any]:
        """The configuration of this run."""
        dataset = self.dataset.model_dump(mode="json", exclude={"pairs"})
        return {
            "model": {"name": self.model_name, **self.model.model_dump(mode="json")},
            "dataset": {"name": self.dataset_name, **dataset},
            "pair": self.pair.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "variant": self.variant,
        }

    @property
    def folder(self) -> str:
        """Name of the run's folder."""
        words = (self.dataset_name, self.database, self.pair.query, self.model_name, self.variant)
        plain = "-".join(
            "".join(c if c.isalnum() or c in "+._" else "_" for c in w) for w in words if w
        )
        return with_digest(plain, self.to_dict())


def sequence_runs(evaluation: SequenceEvaluation) -> list[SequenceRun]:
    """All runs of an evaluation."""
    return [
        SequenceRun(
            model_name, model, name, dataset, pair, evaluation.settings_of(variant), variant
        )
        for variant in (evaluation.variants or {"": {}})
        for model_name, model in evaluation.models.items()
        for name, dataset in evaluation.datasets.items()
        for pair in dataset.pairs
    ]


def evaluate_sequences(
    evaluation: SequenceEvaluation,
    *,
    device: str = "cpu",
    fresh: bool = False,
    cached: bool = True,
    page: bool = True,
    progress: TitledProgress | None = None,
) -> dict[Path, str | None]:
    """Run what is not done.

    Args:
        evaluation: What to run.
        device: Of the encoders.
        fresh: Whether to do again what is there.
        cached: Whether descriptors are kept.
        page: Whether each run writes its page of failures.
        progress: Called with what is being described, frames done and in all.

    Returns:
        Folders of all runs, with the error of those that failed.
    """
    outcomes: dict[Path, str | None] = {}
    with cache_folder(evaluation.cache if cached else None) as cache:
        for run in sequence_runs(evaluation):
            folder = evaluation.output / run.folder
            outcomes[folder] = None
            if fresh or not is_done(folder):
                told = None if progress is None else partial(progress, run.title)
                try:
                    _run(run, folder, cache, device, fresh=fresh, page=page, progress=told)
                except PlaceMemoryError as error:
                    outcomes[folder] = f"{run.title}: {error}"
    return outcomes


def _run(
    run: SequenceRun,
    folder: Path,
    cache: Path,
    device: str,
    *,
    fresh: bool,
    page: bool,
    progress: Callable[[int, int], None] | None,
) -> None:
    settings = run.settings
    database = read_traverse(run.dataset, run.database)
    query = read_traverse(run.dataset, run.pair.query)
    encoder = _encoder(run.model, settings.length, device)
    encoder = fit_on(encoder, database.frames, cache, fresh=fresh)
    how = {"cut_last_frame": settings.cut_last_frame, "protocol": settings.protocol}
    known = windows_of(database, settings.length, reverse=settings.reverse, **how)  # type: ignore[arg-type]
    asked = windows_of(query, settings.length, reverse=False, **how)  # type: ignore[arg-type]
    rows = [
        describe_windows(encoder, traverse, windows, cache, fresh=fresh, progress=progress)
        for traverse, windows in ((database, known), (query, asked))
    ]
    if run.model.pca is not None:
        rows = list(reduce_to(run.model.pca, *rows))
    found = retrieve(asked, known, rows[1], rows[0])
    _write(run, folder, found, query, database, page=page)


def _encoder(model: ModelConfig, length: int, device: str) -> Any:
    options = dict(model.options)
    if info(model.encoder).sequence:
        options.setdefault("length", length)
    encoder = create(
        model.encoder, model.weights, device=device, precision=model.precision, **options
    )
    assert not isinstance(encoder, SequenceEncoder) or encoder.sequence_length == length
    return encoder


def _write(
    run: SequenceRun,
    folder: Path,
    found: Retrieved,
    query: Traverse,
    database: Traverse,
    *,
    page: bool,
) -> None:
    settings, radius = run.settings, run.dataset.radius
    results = recalls(found, query, database, radius, settings.strategies, settings.protocol)
    truth = sequence_truth(
        found.query,
        found.database,
        query.positions,
        database.positions,
        radius=radius,
        strategy=settings.strategies[0],
        protocol=settings.protocol,
    )
    right = truth.correct(found.ranked[:, 0]).tolist()
    write_json(folder / CONFIG, {**run.to_dict(), "software": f"placememory {__version__}"})
    write_json(folder / PREDICTIONS, _predictions(found, query, database, right))
    if page:
        from placememory.figures import write_sequence_page

        first = results[settings.strategies[0]]
        facts = [(f"recall@{k}", r.percent(), "") for k, r in first.recalls.items()]
        write_sequence_page(
            folder / PAGE,
            title=run.title,
            summary=facts,
            notes=[first.protocol],
            windows=_shown(found, query, database, right, truth.on_map().tolist()),
        )
    write_json(
        folder / METRICS,
        {
            "title": run.title,
            "windows": len(found.query),
            "database_windows": len(found.database),
            "strategies": {name: result.to_dict() for name, result in results.items()},
        },
    )


def _predictions(
    found: Retrieved, query: Traverse, database: Traverse, right: list[bool]
) -> list[Any]:
    """Rows of [query window, nearest window, right], in names of images."""
    return [
        [
            [query.frames[row].name for row in found.query.frames[i]],
            [database.frames[row].name for row in found.database.frames[found.ranked[i, 0]]],
            right[i],
        ]
        for i in range(len(found.query))
    ]


def _shown(
    found: Retrieved,
    query: Traverse,
    database: Traverse,
    right: list[bool],
    solvable: list[bool],
) -> list[Any]:
    from placememory.figures import ShownWindow

    return [
        ShownWindow(
            query=[query.frames[row] for row in found.query.frames[i]],
            found=[database.frames[row] for row in found.database.frames[found.ranked[i, 0]]],
            distance=float(found.distances[i, 0]),
            right=right[i],
            has_match=solvable[i],
        )
        for i in range(len(found.query))
    ]
