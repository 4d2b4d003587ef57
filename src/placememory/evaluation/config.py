"""Configuration of an evaluation: data sets, encoders, systems, and the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from placememory._io import read_yaml
from placememory._types import Protocol
from placememory.encoders import names as encoder_names
from placememory.errors import SettingError
from placememory.fusion import names as fusion_names
from placememory.matching import names as matcher_names
from placememory.metrics import DEFAULT_RADIUS
from placememory.metrics.sequences import Strategy

M = TypeVar("M", bound=BaseModel)
NO_ENCODER = "none"
"""Name that stands where a system has no frame encoder."""


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
        projection: File of a PCA behind the encoder, made elsewhere or by ``encoders fit pca``; see
            :func:`placememory.encoders.with_projection`.
        pca: Values to keep of window descriptors, fitted on those of the database; ``None`` for
            all. Only systems of the kind ``windows`` have one.
        known_as: Name in the system that the configuration comes from; for messages only.
        published: Where the weights are to be had, in words; for messages only.
    """

    encoder: str
    weights: str | None = None
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    precision: str = "auto"
    projection: str | None = None
    pca: int | None = Field(default=None, gt=0)
    known_as: str = Field(default="", exclude=True)
    published: str = Field(default="", exclude=True)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.known_as or self.encoder

    @field_validator("encoder")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return _one_of(name, [*encoder_names(), NO_ENCODER], "encoder")


class MatcherConfig(StrictModel):
    """A matcher under a name of its own, with its parameters."""

    matcher: str
    parameters: dict[str, bool | int | float] = Field(default_factory=dict)

    @field_validator("matcher")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return _one_of(name, matcher_names(), "matcher")


class Pair(StrictModel):
    """Two traverses: the reference, which is the map, and the query.

    Without a reference the query is matched to its own past: loop closure in a single session.
    """

    query: str
    reference: str | None = None


def _stretch(value: Any) -> Any:
    """``"0.4-0.6"`` as (0.4, 0.6)."""
    if isinstance(value, str):
        low, dash, high = value.partition("-")
        if not dash:
            raise ValueError(f"a stretch is two shares such as 0.4-0.6, not {value!r}")
        return float(low), float(high)
    return value


Stretch = Annotated[tuple[float, float], BeforeValidator(_stretch)]


class Positives(StrictModel):
    """A CSV file that lists the correct reference images of each query image.

    Attributes:
        file: Relative to the data set's root (or the folder of its file).
        query: Column with the name of the query image.
        places: Column with the names of reference images, separated by spaces.
    """

    file: Path
    query: str = "query"
    places: str = "places"


class DatasetConfig(StrictModel):
    """A data set, the pairs of traverses to run, and when an answer is correct.

    Attributes:
        layout: One of ``placememory.datasets.layouts()``; ``None`` to find out.
        root: Its folder or file; relative to the configuration's file.
        options: Of the layout.
        pairs: Traverses to run; ``all`` finds them by the names of splits, such as every city of
            MSLS (see :meth:`placememory.datasets.Dataset.pairs`).
        radius: An answer is correct within this distance, in the data set's unit (metres, frames).
        radii: More distances for recall.
        heading: Degrees within which the rotation must be, too, where rotations are known.
        positives: A list of correct places, which goes before the radius.
        hide: Stretch of the map that is left out, as ``0.4-0.6`` of its frames: frames there are
            off the map. Those at its edge are not counted.
        odometry: Pose file of the query's odometry; relative to the configuration's file.
    """

    root: Path
    layout: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    pairs: Literal["all"] | tuple[Pair, ...] = Field(min_length=1)
    radius: float = Field(default=DEFAULT_RADIUS, gt=0)
    radii: tuple[float, ...] = ()
    heading: float | None = Field(default=None, gt=0)
    positives: Positives | None = None
    hide: Stretch | None = None
    odometry: Path | None = None

    @property
    def positives_file(self) -> Path:
        """The list of correct places, where there is one."""
        assert self.positives is not None
        root = self.root if self.root.is_dir() else self.root.parent
        return root / self.positives.file

    @model_validator(mode="after")
    def _stretch_is_one(self) -> DatasetConfig:
        if self.hide is not None and not 0 <= self.hide[0] < self.hide[1] <= 1:
            raise ValueError(f"hide is a stretch such as 0.4-0.6, not {self.hide}")
        return self


class System(StrictModel):
    """A system to compare: the parts of a :class:`placememory.Localizer`, by name.

    Attributes:
        encoder: Describes frames; ``none`` where only the sequences are compared.
        sequence: Describes windows for the candidates. A sequence encoder with frame descriptors
            may be both.
        matcher: Matches windows frame by frame; ``None`` for none.
        fusion: Method of :mod:`placememory.fusion`; ``none`` answers each frame alone.
        verify: Whether images are compared by local features where the belief is in doubt; by
            default with a fusion, where the extra ``verify`` is installed.
        kind: ``online``: frame by frame, as a robot runs it. ``windows``: all windows of the
            query are searched among all windows of the reference by their descriptors.
    """

    encoder: str
    sequence: str | None = None
    matcher: str | None = None
    fusion: str | None = None
    verify: Literal["auto"] | bool = "auto"
    kind: Literal["online", "windows"] = "online"

    @field_validator("fusion")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        if name is None or name == "none":
            return None
        return _one_of(name, fusion_names(), "fusion")

    @model_validator(mode="after")
    def _parts_fit(self) -> System:
        if self.encoder == NO_ENCODER and self.sequence is None:
            raise ValueError("a system without frame encoder needs a sequence encoder")
        parts = self.sequence or self.matcher or self.fusion or self.verify is True
        if self.kind == "windows" and parts:
            raise ValueError("a system of the kind windows has an encoder and nothing else")
        return self

    @property
    def name(self) -> str:
        """Such as ``encoder+sequence/matcher/fusion+verify`` (``-verify`` for never)."""
        front = [self.encoder] if self.sequence in (None, self.encoder) else []
        front = front or [f"{self.encoder}+{self.sequence}"]
        parts = [*front, self.matcher, self.fusion, "windows" if self.kind == "windows" else None]
        checked = {"auto": "", True: "+verify", False: "-verify"}[self.verify]
        return "/".join(part for part in parts if part) + checked


class Settings(StrictModel):
    """How systems run and what counts.

    Attributes:
        window: Frames matched together; the length of windows.
        k: Candidates a frame.
        candidates: How many likely sequences the matcher is given; 0 for none. By default 5 where
            there is a sequence encoder, else 0, as in :class:`placememory.Localizer`.
        keyframe_threshold: Cosine to the last key frame, at most; 1 keeps all frames.
        exclusion: Frames before the window that are not searched, in a single session.
        threshold: A match is accepted if its score is below this; ``None`` accepts all.
        ground_truth: What makes a match correct: ``frame``, its newest frame is; ``strict`` or
            ``lax``, all or any of its frames are near some frame of the window.
        fusion: Settings of the fusion.
        reverse: Of windows: whether the reference is driven backwards.
        cut_last_frame: Of windows: whether they are built one frame longer and lose their last.
        strategies: Of windows: which ground truths to report; the first decides what a failure is.
        protocol: ``default``, or ``casevpr`` for the published code's windows.
    """

    window: int = Field(default=5, ge=1)
    k: int = Field(default=20, ge=1)
    candidates: int | None = Field(default=None, ge=0)
    keyframe_threshold: float = Field(default=1.0, ge=-1.0, le=1.0)
    exclusion: int = Field(default=0, ge=0)
    threshold: float | None = None
    ground_truth: Literal["frame", "strict", "lax"] = "frame"
    fusion: dict[str, bool | int | float] = Field(default_factory=dict)
    reverse: bool = False
    cut_last_frame: bool = False
    strategies: tuple[Strategy, ...] = Field(default=("lax", "strict", "last-frame"), min_length=1)
    protocol: Protocol = "default"


class Evaluation(StrictModel):
    """A whole evaluation: every system on every pair of every data set, in every variant.

    Attributes:
        name: Of the evaluation.
        output: Folder for the runs; relative to the configuration's file.
        cache: Folder for descriptors; ``None`` keeps none.
        datasets: By name.
        encoders: By name; a method may stand here without an entry, under its own name.
        matchers: By name; likewise.
        systems: What to run; ``pipelines``, as version 0.1.0 called them, is understood.
        settings: Of all runs.
        variants: Settings that differ, by name of the variant; ``{}`` is the settings alone.
    """

    name: str
    output: Path = Path("output/evaluation")
    cache: Path | None = Path("output/descriptors")
    datasets: dict[str, DatasetConfig] = Field(min_length=1)
    encoders: dict[str, EncoderConfig] = Field(default_factory=dict)
    matchers: dict[str, MatcherConfig] = Field(default_factory=dict)
    systems: tuple[System, ...] = Field(
        min_length=1, validation_alias=AliasChoices("systems", "pipelines")
    )
    settings: Settings = Settings()
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_names(self) -> Evaluation:
        for system in self.systems:
            self.encoder(system.encoder)
            self.matcher(system.matcher)
            if system.sequence is not None:
                self.encoder(system.sequence)
        for name in self.variants:
            self.settings_of(name)
        return self

    def encoder(self, name: str) -> EncoderConfig:
        """An encoder by the name it has here, or its method's."""
        return self.encoders.get(name) or EncoderConfig(encoder=name)

    def matcher(self, name: str | None) -> MatcherConfig | None:
        """A matcher by the name it has here, or its method's."""
        if name is None:
            return None
        return self.matchers.get(name) or MatcherConfig(matcher=name)

    def settings_of(self, variant: str) -> Settings:
        """Settings of a variant; ``""`` is the settings alone."""
        changed = self.variants.get(variant, {})
        return type(self.settings).model_validate({**self.settings.model_dump(), **changed})


E = TypeVar("E", bound=Evaluation)


def read_evaluation(path: Path | str) -> Evaluation:
    """Read an evaluation from YAML; paths in it are relative to its folder.

    Raises:
        SettingError: The file is no YAML, or a field is missing, unknown or of a wrong value; the
            message names the file and the fields.
    """
    path = Path(path)
    return resolve_paths(validate(Evaluation, read_yaml(path, SettingError), path), path)


def read_window_evaluation(path: Path | str) -> Evaluation:
    """Read an evaluation of sequence encoders alone from YAML.

    The file has ``models`` (encoders by name, each with ``pca``) in place of ``encoders`` and
    ``systems``, and ``length`` in place of ``window``.

    Raises:
        SettingError: As for :func:`read_evaluation`.
    """
    path = Path(path)
    values = read_yaml(path, SettingError)
    if not isinstance(values, dict) or not isinstance(values.get("models"), dict):
        raise SettingError(f"{path}: models: name the encoders that describe windows")
    settings = [values.get("settings") or {}, *(values.get("variants") or {}).values()]
    for part in settings:
        if isinstance(part, dict) and "length" in part:
            part["window"] = part.pop("length")
    values["encoders"] = values.pop("models")
    values["systems"] = [{"encoder": name, "kind": "windows"} for name in values["encoders"]]
    values.setdefault("output", "output/sequences")
    return resolve_paths(validate(Evaluation, values, path), path)


def validate(model: type[M], values: Any, path: Path) -> M:
    """Values of a file as a configuration.

    Raises:
        SettingError: A field is missing, unknown or of a wrong value; file and fields are named.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingError(f"{path}: {describe_fields(error)}") from error


def resolve_paths(evaluation: E, path: Path) -> E:
    """A configuration whose paths are absolute: those in the file are relative to its folder.

    Args:
        evaluation: As it was read.
        path: Of the file.
    """
    base = path.resolve().parent
    changed = {
        "output": base / evaluation.output,
        "cache": None if evaluation.cache is None else base / evaluation.cache,
        "datasets": {
            name: dataset.model_copy(update=_dataset_paths(dataset, base))
            for name, dataset in evaluation.datasets.items()
        },
        "encoders": {
            name: encoder.model_copy(
                update={
                    "weights": _weights(encoder.weights, base),
                    "projection": _weights(encoder.projection, base),
                }
            )
            for name, encoder in evaluation.encoders.items()
        },
    }
    return evaluation.model_copy(update=changed)


def describe_fields(error: ValidationError) -> str:
    """Describe the errors of a validation field by field, in one line."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}{_value_of(problem)}"
        for problem in error.errors()
    )


def _value_of(problem: Any) -> str:
    """The value that is wrong, where it is a short one."""
    value = problem["input"]
    shown = isinstance(value, str | int | float) and problem["type"] != "extra_forbidden"
    return f", not {value!r}" if shown else ""


def _dataset_paths(dataset: DatasetConfig, base: Path) -> dict[str, Path]:
    changed = {"root": base / dataset.root}
    if dataset.odometry is not None:
        changed["odometry"] = base / dataset.odometry
    return changed


def _weights(weights: str | None, base: Path) -> str | None:
    return weights if weights in (None, "random") else str(base / weights)


def _one_of(name: str, known: list[str], what: str) -> str:
    if name not in known:
        raise ValueError(f"no {what} is called {name!r}; known: {', '.join(known)}")
    return name
