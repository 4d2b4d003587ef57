"""What an evaluation is: data sets, encoders, matchers, pipelines of them, and the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from placememory._registry import unknown_name
from placememory._types import Protocol
from placememory.encoders import names as encoder_names
from placememory.errors import SettingError
from placememory.matching import names as matcher_names
from placememory.metrics.sequences import Strategy

M = TypeVar("M", bound=BaseModel)
NO_ENCODER = "none"
"""Name that stands where a pipeline has no frame encoder."""


class StrictModel(BaseModel):
    """Base of the configurations: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EncoderConfig(StrictModel):
    """An encoder under a name of its own.

    Attributes:
        encoder: The method.
        weights: File, ``random``, or ``None`` for the published ones.
        options: Of the method.
        precision: Of the network.
    """

    encoder: str
    weights: str | None = None
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    precision: str = "auto"

    @field_validator("encoder")
    @classmethod
    def _known(cls, name: str) -> str:
        return _one_of(name, [*encoder_names(), NO_ENCODER], "encoder")


class MatcherConfig(StrictModel):
    """A matcher under a name of its own, with its parameters."""

    matcher: str
    parameters: dict[str, bool | int | float] = Field(default_factory=dict)

    @field_validator("matcher")
    @classmethod
    def _known(cls, name: str) -> str:
        return _one_of(name, matcher_names(), "matcher")


class Pair(StrictModel):
    """Two traverses: what is in the map, and what is asked.

    Without a reference the query is matched to its own past: loop closure in a single session.
    """

    query: str
    reference: str | None = None


class DatasetConfig(StrictModel):
    """A data set and the pairs of traverses to run.

    Attributes:
        layout: One of ``placememory.datasets.layouts()``; ``None`` to find out.
        root: Its folder or file; relative to the configuration's file.
        options: Of the layout.
        pairs: Traverses to run.
        radius: A match is right within this distance, in the data set's unit (metres or frames).
        radii: More distances for recall.
    """

    root: Path
    layout: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    pairs: tuple[Pair, ...] = Field(min_length=1)
    radius: float = Field(gt=0)
    radii: tuple[float, ...] = ()


class Pipeline(StrictModel):
    """Frame encoder, sequence encoder where there is one, and matcher, by name.

    Attributes:
        encoder: Describes frames; ``none`` where only the sequences are compared.
        sequence: Describes windows for the candidates; ``None`` for pooled frame descriptors. A
            sequence encoder with frame descriptors may be both.
        matcher: Matches windows.
    """

    encoder: str
    matcher: str
    sequence: str | None = None

    @property
    def name(self) -> str:
        """``encoder+sequence/matcher``."""
        both = self.encoder if self.sequence in (None, self.encoder) else self._together
        return f"{both}/{self.matcher}"

    @property
    def _together(self) -> str:
        return f"{self.encoder}+{self.sequence}"


class Settings(StrictModel):
    """How pipelines run and what counts, in the terms of the sequence pipeline.

    Attributes:
        window: Frames matched together.
        candidates: Nearest sequences handed to the matcher; 0 for none.
        similarity: ``cosine`` or ``l2``.
        keyframe_threshold: Cosine to the last key frame, at most; 1 keeps all frames.
        search_nonkeyframes: Whether frames that are no key frames are searched.
        separate: Whether the query is another traverse than the reference.
        exclusion: Frames before the window that are not searched, in a continued traverse.
        threshold: A match is accepted if its score is below this; ``None`` accepts all.
        ground_truth: What makes an answer right: ``frame``, its newest frame is within the radius;
            ``strict`` or ``lax``, all or any of its frames are near some frame of the window.
        protocol: ``default``, or ``casevpr`` for the counts of CaseVPR's programme.
    """

    window: int = Field(default=5, ge=1)
    candidates: int = Field(default=5, ge=0)
    similarity: Literal["cosine", "l2"] = "cosine"
    keyframe_threshold: float = 1.0
    search_nonkeyframes: bool = True
    separate: bool = True
    exclusion: int = Field(default=0, ge=0)
    threshold: float | None = None
    ground_truth: Literal["frame", "strict", "lax"] = "frame"
    protocol: Protocol = "default"


class Evaluation(StrictModel):
    """A whole evaluation: every pipeline on every pair of every data set, in every variant.

    Attributes:
        name: Of the evaluation.
        output: Folder for the runs; relative to the configuration's file.
        cache: Folder for descriptors; ``None`` keeps none.
        datasets: By name.
        encoders: By name; a method may stand here without an entry, under its own name.
        matchers: By name; likewise.
        pipelines: What to run.
        settings: Of all runs.
        variants: Settings that differ, by name of the variant; ``{}`` is the settings alone.
    """

    name: str
    output: Path = Path("output/evaluation")
    cache: Path | None = Path("output/descriptors")
    datasets: dict[str, DatasetConfig] = Field(min_length=1)
    encoders: dict[str, EncoderConfig] = Field(default_factory=dict)
    matchers: dict[str, MatcherConfig] = Field(default_factory=dict)
    pipelines: tuple[Pipeline, ...] = Field(min_length=1)
    settings: Settings = Settings()
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _all_names_are_known(self) -> Evaluation:
        for pipeline in self.pipelines:
            self.encoder(pipeline.encoder)
            self.matcher(pipeline.matcher)
            if pipeline.sequence is not None:
                self.encoder(pipeline.sequence)
        for name in self.variants:
            self.settings_of(name)
        return self

    def encoder(self, name: str) -> EncoderConfig:
        """An encoder by the name it has here, or its method's."""
        return self.encoders.get(name) or EncoderConfig(encoder=name)

    def matcher(self, name: str) -> MatcherConfig:
        """A matcher by the name it has here, or its method's."""
        return self.matchers.get(name) or MatcherConfig(matcher=name)

    def settings_of(self, variant: str) -> Settings:
        """Settings of a variant; ``""`` is the settings alone."""
        changed = self.variants.get(variant, {})
        return Settings.model_validate({**self.settings.model_dump(), **changed})


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation from YAML; paths in it are relative to its folder.

    Raises:
        SettingError: The file is no YAML, or a field is missing, unknown or of a wrong value; the
            message names the file and the fields.
    """
    return checked(read_yaml(path), path)


def checked(values: Any, path: Path) -> Evaluation:
    """Values as an evaluation, its paths made absolute.

    Raises:
        SettingError: A field is missing, unknown or of a wrong value.
    """
    return resolved(validated(Evaluation, values, path), path, "encoders")


def read_yaml(path: Path) -> Any:
    """Values of a configuration's file.

    Raises:
        SettingError: It cannot be read, or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError(f"{path}: cannot read the configuration ({error})") from error


def validated(model: type[M], values: Any, path: Path) -> M:
    """Values of a file as a configuration.

    Raises:
        SettingError: A field is missing, unknown or of a wrong value; file and fields are named.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingError(f"{path}: {fields_of(error)}") from error


def resolved(evaluation: M, path: Path, encoders: str) -> M:
    """A configuration whose paths are absolute: those in the file are relative to its folder.

    Args:
        evaluation: With ``output``, ``cache``, ``datasets`` and encoders.
        path: Of the file.
        encoders: Name of the field that holds the encoders.
    """
    base, fields = path.resolve().parent, dict(evaluation)
    changed = {
        "output": base / fields["output"],
        "cache": None if fields["cache"] is None else base / fields["cache"],
        "datasets": {
            name: dataset.model_copy(update={"root": base / dataset.root})
            for name, dataset in fields["datasets"].items()
        },
        encoders: {
            name: encoder.model_copy(update={"weights": _weights(encoder.weights, base)})
            for name, encoder in fields[encoders].items()
        },
    }
    return evaluation.model_copy(update=changed)


def fields_of(error: ValidationError) -> str:
    """What is wrong with which field, in one line."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"
        for problem in error.errors()
    )


def _weights(weights: str | None, base: Path) -> str | None:
    return weights if weights in (None, "random") else str(base / weights)


def _one_of(name: str, known: list[str], what: str) -> str:
    if name not in known:
        raise ValueError(unknown_name(f"no {what} is called", name, known))
    return name


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
