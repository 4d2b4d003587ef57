"""What an evaluation of sequence encoders is: models on data sets, and what counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from placememory._types import Protocol
from placememory.evaluation.sequences import Strategy
from placememory.experiments._config import (
    DatasetConfig,
    EncoderConfig,
    StrictModel,
    read_yaml,
    resolved,
    validated,
)


class ModelConfig(EncoderConfig):
    """An encoder, and the PCA behind it.

    Attributes:
        pca: Values to keep, fitted on the windows of the database; ``None`` for none.
    """

    pca: int | None = Field(default=None, gt=0)


class WindowSettings(StrictModel):
    """How windows are made and judged.

    Attributes:
        length: Frames of a window; a sequence encoder is made for it.
        reverse: Whether the database is driven backwards.
        cut_last_frame: Whether windows are built one frame longer and lose their last.
        strategies: Which ground truths to report; the first decides what a failure is.
        protocol: ``default``, or ``casevpr`` for the published numbers.
    """

    length: int = Field(default=5, ge=1)
    reverse: bool = False
    cut_last_frame: bool = False
    strategies: tuple[Strategy, ...] = Field(default=("lax", "strict", "last-frame"), min_length=1)
    protocol: Protocol = "default"


class SequenceEvaluation(StrictModel):
    """Every model on every pair of every data set, in every variant.

    Attributes:
        name: Of the evaluation.
        output: Folder for the runs; relative to the configuration's file.
        cache: Folder for descriptors; ``None`` keeps none.
        datasets: By name.
        models: By name.
        settings: Of all runs.
        variants: Settings that differ, by name.
    """

    name: str
    output: Path = Path("output/sequences")
    cache: Path | None = Path("output/descriptors")
    datasets: dict[str, DatasetConfig] = Field(min_length=1)
    models: dict[str, ModelConfig] = Field(min_length=1)
    settings: WindowSettings = WindowSettings()
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _variants_are_known(self) -> SequenceEvaluation:
        for name in self.variants:
            self.settings_of(name)
        return self

    def settings_of(self, variant: str) -> WindowSettings:
        """Settings of a variant; ``""`` is the settings alone."""
        changed = self.variants.get(variant, {})
        return WindowSettings.model_validate({**self.settings.model_dump(), **changed})


def read_sequence_evaluation(path: Path) -> SequenceEvaluation:
    """Read YAML; paths in it are relative to its folder.

    Raises:
        SettingError: The file is no YAML, or a field is missing, unknown or of a wrong value.
    """
    return resolved(validated(SequenceEvaluation, read_yaml(path), path), path, "models")
