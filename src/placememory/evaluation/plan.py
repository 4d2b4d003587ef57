"""The runs of an evaluation: each is one pipeline on one pair of traverses with one protocol."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from placememory.evaluation.config import (
    DatasetConfig,
    EncoderConfig,
    Evaluation,
    MatcherConfig,
    Pair,
    Pipeline,
    Settings,
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run, complete: what is in here decides its result.

    Attributes:
        dataset_name: Name the data set has in the evaluation.
        dataset: The data set.
        pair: Reference and query.
        pipeline: Names of encoders and matcher.
        encoder: The frame encoder.
        sequence: The sequence encoder; ``None`` for pooled frame descriptors.
        matcher: The matcher.
        settings: Protocol and parameters.
        variant: Name of the settings; ``""`` for the evaluation's own.
    """

    dataset_name: str
    dataset: DatasetConfig
    pair: Pair
    pipeline: Pipeline
    encoder: EncoderConfig
    sequence: EncoderConfig | None
    matcher: MatcherConfig
    settings: Settings
    variant: str

    @property
    def title(self) -> str:
        """Words for people."""
        parts = (self.dataset_name, f"{self.pair.query} on {self.map_name}")
        return ": ".join((*parts, self.pipeline.name)) + (f" ({self.variant})" * bool(self.variant))

    @property
    def map_name(self) -> str:
        """Traverse of the map; the query's own where there is no other."""
        return self.pair.reference or self.pair.query

    def to_dict(self) -> dict[str, Any]:
        """The configuration of this run, as JSON has it."""
        sequence = self.sequence
        dataset = self.dataset.model_dump(mode="json", exclude={"pairs"})
        return {
            "dataset": {"name": self.dataset_name, **dataset},
            "pair": self.pair.model_dump(mode="json"),
            "pipeline": self.pipeline.model_dump(mode="json"),
            "encoder": self.encoder.model_dump(mode="json"),
            "sequence": None if sequence is None else sequence.model_dump(mode="json"),
            "matcher": self.matcher.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "variant": self.variant,
        }

    @property
    def folder(self) -> str:
        """Name of the run's folder: readable, and unique for the configuration."""
        parts = (self.dataset_name, self.map_name, self.pair.query, self.pipeline.name)
        words = "-".join((*parts, *([self.variant] if self.variant else [])))
        plain = "".join(c if c.isalnum() or c in "-+._" else "_" for c in words)
        return with_digest(plain, self.to_dict())


def with_digest(words: str, configuration: dict[str, Any]) -> str:
    """A folder's name: words for people, cut to 120 letters, and a hash of the configuration.

    Example:
        >>> with_digest("town-map", {"window": 5})
        'town-map-86c58b3020'
    """
    text = json.dumps(configuration, sort_keys=True)
    return f"{words[:120]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def runs_of(evaluation: Evaluation) -> list[Run]:
    """All runs of an evaluation: variants, data sets, pairs, pipelines, in this order."""
    return [
        Run(
            dataset_name=name,
            dataset=dataset,
            pair=pair,
            pipeline=pipeline,
            encoder=evaluation.encoder(pipeline.encoder),
            sequence=None if pipeline.sequence is None else evaluation.encoder(pipeline.sequence),
            matcher=evaluation.matcher(pipeline.matcher),
            settings=evaluation.settings_of(variant),
            variant=variant,
        )
        for variant in (evaluation.variants or {"": {}})
        for name, dataset in evaluation.datasets.items()
        for pair in dataset.pairs
        for pipeline in evaluation.pipelines
    ]
