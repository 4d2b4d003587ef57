"""The runs of an evaluation: each is one system on one pair of traverses with one protocol."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from placememory._types import Bools, Rows
from placememory.datasets import Traverse, open_dataset, read_table
from placememory.errors import InputError
from placememory.evaluation.config import (
    DatasetConfig,
    EncoderConfig,
    Evaluation,
    MatcherConfig,
    Pair,
    Settings,
    System,
)
from placememory.metrics import GroundTruth


@dataclass(frozen=True, slots=True)
class Run:
    """One run, complete: its result depends on nothing else.

    Attributes:
        dataset_name: Name the data set has in the evaluation.
        dataset: The data set.
        pair: Reference and query.
        system: Names of encoders, matcher and fusion.
        encoder: The frame encoder.
        sequence: The sequence encoder; ``None`` for none.
        matcher: The matcher; ``None`` for none.
        settings: Protocol and parameters.
        variant: Name of the settings; ``""`` for the evaluation's own.
    """

    dataset_name: str
    dataset: DatasetConfig
    pair: Pair
    system: System
    encoder: EncoderConfig
    sequence: EncoderConfig | None
    matcher: MatcherConfig | None
    settings: Settings
    variant: str

    @property
    def title(self) -> str:
        """Words for people."""
        parts = (self.dataset_name, f"{self.pair.query} on {self.map_name}")
        return ": ".join((*parts, self.system_name))

    @property
    def system_name(self) -> str:
        """System and, in brackets, variant."""
        return self.system.name + (f" ({self.variant})" * bool(self.variant))

    @property
    def map_name(self) -> str:
        """Traverse of the map; the query's own where there is no other."""
        return self.pair.reference or self.pair.query

    def to_dict(self) -> dict[str, Any]:
        """The configuration of this run, as JSON has it."""
        sequence, matcher = self.sequence, self.matcher
        dataset = self.dataset.model_dump(mode="json", exclude={"pairs"})
        return {
            "dataset": {"name": self.dataset_name, **dataset},
            "pair": self.pair.model_dump(mode="json"),
            "system": self.system.model_dump(mode="json"),
            "encoder": self.encoder.model_dump(mode="json"),
            "sequence": None if sequence is None else sequence.model_dump(mode="json"),
            "matcher": None if matcher is None else matcher.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "variant": self.variant,
        }

    @property
    def folder(self) -> str:
        """Name of the run's folder: readable, and unique for the configuration."""
        parts = (self.dataset_name, self.map_name, self.pair.query, self.system.name)
        words = "-".join((*parts, *([self.variant] if self.variant else [])))
        plain = "".join(c if c.isalnum() or c in "-+._" else "_" for c in words)
        text = json.dumps(self.to_dict(), sort_keys=True)
        return f"{plain[:120]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


@dataclass(frozen=True, slots=True)
class RunReport:
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


def runs_of(evaluation: Evaluation) -> list[Run]:
    """All runs of an evaluation: variants, data sets, pairs, systems, in this order."""
    return [
        Run(
            dataset_name=name,
            dataset=dataset,
            pair=pair,
            system=system,
            encoder=evaluation.encoder(system.encoder),
            sequence=None if system.sequence is None else evaluation.encoder(system.sequence),
            matcher=evaluation.matcher(system.matcher),
            settings=evaluation.settings_of(variant),
            variant=variant,
        )
        for variant in (evaluation.variants or {"": {}})
        for name, dataset in evaluation.datasets.items()
        for pair in pairs_of(dataset)
        for system in evaluation.systems
    ]


def pairs_of(dataset: DatasetConfig) -> tuple[Pair, ...]:
    """The pairs of traverses of a data set, found by name where the configuration says ``all``.

    Raises:
        DatasetError: They are to be found, and the data set cannot be opened.
    """
    if dataset.pairs != "all":
        return dataset.pairs
    opened = open_dataset(dataset.layout, dataset.root, **dataset.options)
    return tuple(Pair(query=query, reference=reference) for query, reference in opened.pairs())


@lru_cache(maxsize=8)
def _read(
    root: str, layout: str | None, options: tuple[tuple[str, Any], ...], split: str
) -> Traverse:
    return open_dataset(layout, root, **dict(options)).traverse(split)


def forget_traverses() -> None:
    """Read traverses anew: their files may have changed."""
    _read.cache_clear()


def read_traverse(dataset: DatasetConfig, split: str) -> Traverse:
    """A traverse of a data set; the last few are kept."""
    return _read(str(dataset.root), dataset.layout, tuple(sorted(dataset.options.items())), split)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """The task of a run: a map, queries and the ground truth.

    Attributes:
        reference: Traverse of the map.
        query: Traverse of the queries.
        rows: (N,) rows of the reference that are in the map.
        truth: Of the queries on these rows.
        counted: (M,) whether a query counts: those at the edge of a hidden stretch do not.
    """

    reference: Traverse
    query: Traverse
    rows: Rows
    truth: GroundTruth
    counted: Bools


def question_of(run: Run) -> Question:
    """Read the traverses of a run and its truth.

    Raises:
        DatasetError: A traverse cannot be read.
        InputError: The list of correct places cannot be read.
    """
    query = read_traverse(run.dataset, run.pair.query)
    reference = read_traverse(run.dataset, run.map_name)
    truth = truth_of(run.dataset, query, reference)
    rows = np.arange(len(reference))
    if run.dataset.hide is None:
        return Question(reference, query, rows, truth, np.ones(len(query), np.bool_))
    first, last = (int(share * len(reference)) for share in run.dataset.hide)
    truth, counted = truth.without(rows[first:last])
    return Question(reference, query, np.delete(rows, np.s_[first:last]), truth, counted)


def truth_of(
    dataset: DatasetConfig, query: Traverse, reference: Traverse, radius: float | None = None
) -> GroundTruth:
    """The correct rows of the reference for each query.

    Args:
        dataset: With its rule: a list, its own or the traverse's, or a radius and a heading.
        query: M queries.
        reference: N places.
        radius: In place of the data set's.

    Raises:
        InputError: The list of correct places cannot be read, or names other images.
    """
    if dataset.positives is not None:
        return GroundTruth.from_positives(
            _read_positives(dataset, query, reference), len(reference)
        )
    if query.positives is not None and query.positives_of == reference.name:
        return GroundTruth.from_positives(query.positives, len(reference))
    limit = dataset.radius if radius is None else radius
    if dataset.heading is not None and query.unit == "m":
        true, places = ([frame.pose for frame in part.frames] for part in (query, reference))
        return GroundTruth.from_poses(true, places, limit, heading=dataset.heading)
    return GroundTruth.from_positions(
        query.positions,
        reference.positions,
        limit,
        unit=query.unit,
        tolerances=query.tolerances if radius is None else None,
    )


def _read_positives(
    dataset: DatasetConfig, query: Traverse, reference: Traverse
) -> list[list[int]]:
    assert dataset.positives is not None
    listed, file = dataset.positives, dataset.positives_file
    found: dict[str, set[str]] = {}
    for _, row in read_table(file, (listed.query, listed.places)):
        found[row[listed.query]] = set(row[listed.places].split())
    rows = {frame.name: i for i, frame in enumerate(reference.frames)}
    missing = [frame.name for frame in query.frames if frame.name not in found]
    if missing:
        raise InputError(f"{file}: it lists no places for {missing[0]!r}")
    return [
        sorted(rows[name] for name in found[frame.name] if name in rows) for frame in query.frames
    ]
