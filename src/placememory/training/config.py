"""The configuration of a training: encoder, data, mining, loss, optimisation, validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from placememory._io import parse_yaml, read_yaml
from placememory._registry import unknown_name
from placememory.encoders import names as encoder_names
from placememory.errors import SettingError
from placememory.evaluation.config import StrictModel, validate
from placememory.metrics.sequences import Strategy

Precision = Literal["float32", "bfloat16", "float16"]


class EncoderChoice(StrictModel):
    """The encoder that is trained.

    Attributes:
        name: One of ``placememory encoders list``.
        weights: Where it starts: a file, ``random``, or ``None`` for the published weights.
        trunk: File of weights of the trunk alone, as of DINOv2 before its adapters are trained.
        options: Of the method.
        train: What is trained; the rest is frozen, its batch statistics and dropout too. ``head``:
            all but the trunk; ``adapters``: those of the trunk, and the head; ``last:2``: the last
            two blocks of the trunk, and the head; ``all``; or patterns of parameter names, such as
            ``pooling.*``.
        adapter_blocks: Of ``adapters``: those of the last so many blocks; ``None`` for all.
        batchnorm: ``frozen`` leaves the running statistics of trained parts as they are, too.
        initialise: Whether clusters (NetVLAD, SeqVLAD, lite) start from the training images.
    """

    name: str
    weights: str | None = None
    trunk: str | None = None
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    train: str | tuple[str, ...] = "head"
    adapter_blocks: int | None = Field(default=None, ge=1)
    batchnorm: Literal["frozen", "trained"] = "frozen"
    initialise: bool = False

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name not in encoder_names():
            raise ValueError(unknown_name("no encoder is called", name, encoder_names()))
        return name


class Source(StrictModel):
    """A data set to train or validate on.

    Attributes:
        root: Its folder or file; relative to the configuration's file.
        layout: One of ``placememory.datasets.layouts()``; ``None`` to find out.
        options: Of the layout.
        only: Only frames whose name holds this word, such as a city's; or one of several words.
        database: Splits that are searched.
        query: Splits that ask. Without either, all splits are both, and only windows of another
            session are positives.
    """

    root: Path
    layout: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    only: tuple[str, ...] | None = None
    database: tuple[str, ...] = ()
    query: tuple[str, ...] = ()

    @field_validator("only", "database", "query", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _both_or_neither(self) -> Source:
        if bool(self.database) != bool(self.query):
            raise ValueError("name splits for both database and query, or for neither")
        return self


class HeldOut(StrictModel):
    """Places of the training data that are held out for validation.

    Attributes:
        share: Of the blocks.
        block: Side of a square block, in the unit of the positions.
    """

    share: float = Field(default=0.2, gt=0, lt=1)
    block: float = Field(default=20.0, gt=0)


class Data(StrictModel):
    """Frames, windows, and which of them show one place.

    Attributes:
        train: Data sets to train on.
        validation: Data sets to choose the best epoch on; never those of the final test.
        test: Data sets that are looked at once, after training, with the best weights.
        held_out: Or: places of the training data that are left out for it.
        length: Frames of a window; 1 for frame encoders.
        cut_last_frame: Whether windows are built one frame longer and lose their last.
        image_size: Height and width that the encoder is expected to take; checked.
        positive_radius: Windows within it show one place; metres, or frames.
        negative_radius: Windows beyond it show different places.
        heading: Degrees that positives may differ in their direction; 180 also takes the opposite.
        strategy: Which windows are positives, see ``placememory.metrics.sequences``.
        negative_strategy: Which windows are no negatives, within the negative radius.
        validation_radius: A match is right within it.
        validation_strategy: Which windows are right.
        test_radius: As ``validation_radius``, on the test sets; ``None`` for the same.
        test_strategy: As ``validation_strategy``, on the test sets; ``None`` for the same.
    """

    train: tuple[Source, ...] = Field(min_length=1)
    validation: tuple[Source, ...] = ()
    test: tuple[Source, ...] = ()
    held_out: HeldOut | None = None
    length: int = Field(default=1, ge=1)
    cut_last_frame: bool = False
    image_size: tuple[int, int] | None = None
    positive_radius: float = Field(default=10.0, gt=0)
    negative_radius: float = Field(default=25.0, gt=0)
    heading: float = Field(default=60.0, gt=0, le=180)
    strategy: Strategy = "lax"
    negative_strategy: Strategy = "lax"
    validation_radius: float = Field(default=25.0, gt=0)
    validation_strategy: Strategy = "lax"
    test_radius: float | None = Field(default=None, gt=0)
    test_strategy: Strategy | None = None

    @model_validator(mode="after")
    def _has_one_validation(self) -> Data:
        if bool(self.validation) == (self.held_out is not None):
            raise ValueError("give either validation data sets or held_out places")
        if self.negative_radius < self.positive_radius:
            raise ValueError("negative_radius is below positive_radius")
        return self


class Augment(StrictModel):
    """Changes of the images, the same for all frames of a window.

    Attributes:
        colour: Strength of changes of brightness, contrast, saturation and hue; 0 for none.
        blur: Probability of a Gaussian blur.
        noise: Standard deviation of pixel noise, in grey levels.
        crop: Most of the area that a random crop takes away, as a share.
        perspective: Strength of a change of view.
        sequence: Probability that the frames of a query window are thinned out or repeated, as
            if driven at another speed (CaseVPR's ``augseq``).
        sequence_step: Most frames that such a window jumps.
    """

    colour: float = Field(default=0.0, ge=0, le=1)
    blur: float = Field(default=0.0, ge=0, le=1)
    noise: float = Field(default=0.0, ge=0)
    crop: float = Field(default=0.0, ge=0, lt=1)
    perspective: float = Field(default=0.0, ge=0, le=1)
    sequence: float = Field(default=0.0, ge=0, le=1)
    sequence_step: int = Field(default=2, ge=1)

    @property
    def changes_images(self) -> bool:
        """Whether any image is changed."""
        return any((self.colour, self.blur, self.noise, self.crop, self.perspective))


class Mining(StrictModel):
    """How the windows of a step are chosen.

    Attributes:
        kind: ``places``: P places with K windows each, negatives within the batch; ``cached``:
            triplets with the hardest of some cached windows, as in CaseVPR and SeqVLAD.
        places: P.
        views: K.
        queries: Windows that ask, sampled at each refresh.
        negatives: Windows of the database sampled at each refresh.
        per_query: Negatives of a triplet.
        refresh: Triplets from one cache before it is made anew.
        shuffled: Probability that one negative is the positive with its frames shuffled.
        shuffled_step: Metres that consecutive frames must be apart for it.
    """

    kind: Literal["places", "cached"] = "places"
    places: int = Field(default=16, ge=2)
    views: int = Field(default=4, ge=2)
    queries: int = Field(default=1000, ge=1)
    negatives: int = Field(default=1000, ge=1)
    per_query: int = Field(default=5, ge=1)
    refresh: int = Field(default=1000, ge=1)
    shuffled: float = Field(default=0.0, ge=0, le=1)
    shuffled_step: float = Field(default=0.5, ge=0)


class Loss(StrictModel):
    """The loss.

    Attributes:
        kind: ``triplet`` needs cached mining, ``multi-similarity`` places; ``joint`` is
            multi-similarity of the windows and of single frames of them, as in JIST.
        margin: Of the triplet loss.
        frame_weight: Of the frames' part of ``joint``.
        alpha: Of multi-similarity: weight of positives.
        beta: Weight of negatives.
        base: Similarity where both begin to count.
        epsilon: Margin of the multi-similarity miner.
    """

    kind: Literal["triplet", "multi-similarity", "joint"] = "multi-similarity"
    margin: float = Field(default=0.1, gt=0)
    frame_weight: float = Field(default=1.0, gt=0)
    alpha: float = Field(default=1.0, gt=0)
    beta: float = Field(default=50.0, gt=0)
    base: float = 0.0
    epsilon: float = Field(default=0.1, ge=0)


class Optimization(StrictModel):
    """Optimiser, schedule and stopping.

    Attributes:
        optimizer: ``adamw``, ``adam`` or ``sgd`` (momentum 0.9).
        lr: Learning rate of the head.
        trunk_lr: Of the trunk; ``None`` for the same.
        layer_decay: Factor on the rate for each block of the trunk below the last.
        weight_decay: Not applied to biases, norms and centroids.
        schedule: ``cosine`` to zero, ``step`` (a tenth, twice) or ``constant``, after the warm-up.
        warmup: Share of all steps with a rising rate.
        clip: Largest norm of the gradient; ``None`` for no limit.
        epochs: At most.
        steps_per_epoch: Optimiser steps; ``None`` for as many as the data gives.
        batch: Triplets a step (cached mining).
        micro_batch: Windows (or triplets) that are in the network at a time; ``None`` for all. It
            changes memory, not the result.
        patience: Epochs without a better validation before it stops; ``None`` never.
        precision: Of the forward pass.
    """

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(default=1e-4, gt=0)
    trunk_lr: float | None = Field(default=None, gt=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    weight_decay: float = Field(default=1e-3, ge=0)
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    clip: float | None = Field(default=None, gt=0)
    epochs: int = Field(default=20, ge=1)
    steps_per_epoch: int | None = Field(default=None, ge=1)
    batch: int = Field(default=8, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)
    precision: Precision = "float32"


class Running(StrictModel):
    """How it runs.

    Attributes:
        workers: Threads that read images ahead.
        save_every: Steps between checkpoints within an epoch; ``None`` for epochs only.
        keep_epochs: Whether the weights of every epoch are written.
        cache_trunk: Whether the features of a frozen trunk are stored on disk, so that only
            the head runs in each step; images cannot be changed then.
        processes: Processes that run the frozen trunk for that, over shards of the images.
        scheduler: Address of a Dask scheduler, ``tcp://host:8786``, whose workers do so instead.
        tensorboard: Whether to write TensorBoard events.
    """

    workers: int = Field(default=2, ge=1)
    save_every: int | None = Field(default=None, ge=1)
    keep_epochs: bool = False
    cache_trunk: bool = False
    processes: int = Field(default=1, ge=1)
    scheduler: str | None = None
    tensorboard: bool = True


class Training(StrictModel):
    """A whole training.

    Attributes:
        name: Of the training, part of the folder's name.
        output: Folder of all runs; relative to the configuration's file.
        seed: All that is random follows from it and from the number of the step.
        encoder: What is trained.
        data: Training, validation and test data.
        augment: How images are changed.
        mining: How windows are chosen.
        loss: The loss.
        optimization: Optimiser and schedule.
        running: Workers, checkpoints, caches.
    """

    name: str
    output: Path = Path("output/train_logs")
    seed: int = Field(default=0, ge=0)
    encoder: EncoderChoice
    data: Data
    augment: Augment = Augment()
    mining: Mining = Mining()
    loss: Loss = Loss()
    optimization: Optimization = Optimization()
    running: Running = Running()

    @model_validator(mode="after")
    def _parts_fit(self) -> Training:
        if (self.loss.kind == "triplet") != (self.mining.kind == "cached"):
            raise ValueError(
                "the triplet loss goes with mining.kind cached, the others with places"
            )
        if self.running.cache_trunk and self.augment.changes_images:
            raise ValueError("cache_trunk needs images that do not change: leave augment out")
        if self.running.cache_trunk and self.encoder.train != "head":
            raise ValueError("cache_trunk needs a frozen trunk: set encoder.train to head")
        return self


def read_training(path: Path, changes: tuple[str, ...] = (), *, values: Any = None) -> Training:
    """Read a training from YAML.

    Args:
        path: Of the file; paths in it are relative to its folder.
        changes: ``key=value`` each, with dots: ``optimization.lr=1e-4``; values are YAML.
        values: Of the file, where they were read before (see :mod:`placememory.compat`).

    Raises:
        SettingError: The file cannot be read, or a field is missing, unknown or of a wrong value;
            the message names file and fields.
    """
    return parse_training(apply_changes(_yaml(path) if values is None else values, changes), path)


def parse_training(values: Any, path: Path) -> Training:
    """Values as a training, its paths made absolute.

    Raises:
        SettingError: A field is missing, unknown or of a wrong value.
    """
    return _resolve_paths(validate(Training, values, path), path.resolve().parent)


def apply_changes(values: Any, changes: tuple[str, ...]) -> Any:
    """Values with some replaced.

    Raises:
        SettingError: A change is not ``key=value``, or a key leads through a value.

    Example:
        >>> apply_changes({"optimization": {"epochs": 9}}, ("optimization.epochs=5", "seed=3"))
        {'optimization': {'epochs': 5}, 'seed': 3}
    """
    for change in changes:
        key, equals, text = change.partition("=")
        *above, last = key.strip().split(".")
        table = values
        for name in above:
            table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if not equals or not isinstance(table, dict):
            raise SettingError(
                f"{change!r} changes nothing; write key=value, as optimization.lr=1e-4"
            )
        table[last] = _value(text)
    return values


def _value(text: str) -> Any:
    """A YAML value; a text that is none, such as ``*.bias``, as it stands."""
    try:
        return parse_yaml(text, "a change", SettingError)
    except SettingError:
        return text


def _yaml(path: Path) -> Any:
    values = read_yaml(path, SettingError)
    if not isinstance(values, dict):
        raise SettingError(f"{path}: a configuration is a table of fields")
    return values


def _resolve_paths(training: Training, base: Path) -> Training:
    def resolve(sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(s.model_copy(update={"root": base / s.root}) for s in sources)

    data = training.data.model_copy(
        update={
            "train": resolve(training.data.train),
            "validation": resolve(training.data.validation),
            "test": resolve(training.data.test),
        }
    )
    files = {name: getattr(training.encoder, name) for name in ("weights", "trunk")}
    files_there = {n: f if f in (None, "random") else str(base / f) for n, f in files.items()}
    encoder = training.encoder.model_copy(update=files_there)
    return training.model_copy(
        update={"output": base / training.output, "data": data, "encoder": encoder}
    )
