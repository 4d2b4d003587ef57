"""CaseVPR's names of encoders, the files of weights they stand for, and where those are.

A name of theirs stands for their file. It is never replaced by a similar one: where the file is
missing, the run fails and says which file it is and where it is to be had.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from placememory._io import read_yaml
from placememory._registry import unknown_name
from placememory.encoders.weights import weights_folder
from placememory.errors import SettingError
from placememory.evaluation.config import (
    NO_ENCODER,
    EncoderConfig,
    StrictModel,
    describe_fields,
    validate,
)

_SHARED = "in the folder of weights that the README of github.com/phatli/CaseVPR names"
PUBLISHED, RANDOM = "published", "random"
Role = Literal["frame", "sequence", "both"]


@dataclass(frozen=True)
class CasevprName:
    """What a name of an encoder stands for.

    Attributes:
        encoder: Our method.
        file: Their file of weights, in the folder ``models`` of their repository; ``""`` for none.
        role: Whether it describes frames, sequences, or both in one network.
        where: Where the file is to be had.
        options: Of the method.
        side: Height and width of the input.
        pca: Their file of the PCA behind it, in the pipeline.
        public: Whether what our method downloads is the same file.
    """

    encoder: str
    file: str = ""
    role: Role = "frame"
    where: str = _SHARED
    options: dict[str, Any] = field(default_factory=dict)
    side: tuple[int, int] = (384, 384)
    pca: str | None = None
    public: bool = False


_CRICA = (
    f"{_SHARED}; the public CricaVPR.pth has the same layout: name it under models if you want it"
)
NAMES: dict[str, CasevprName] = {
    "netvlad_WPCA4096": CasevprName(
        "netvlad-wpca",
        "netvlad_WPCA4096.pth.tar",
        side=(480, 640),
        where=f"{_SHARED}; pitts_WPCA4096.pth.tar of Patch-NetVLAD, which has the same layout, is "
        "taken by the word published under models",
    ),
    "ep": CasevprName(
        "eigenplaces",
        "r18gemrbc.pth",
        where=f"{_SHARED}; it was tuned on RobotCar, which the public EigenPlaces was not",
        options={"size": 384},
    ),
    "crica": CasevprName(
        "cricavpr", "crica.pth", where=_CRICA, options={"resize_on": "image"}, side=(224, 224)
    ),
    "salad": CasevprName("salad", "dino_salad.ckpt", side=(322, 322), public=True),
    "cliquemining": CasevprName("cliquemining", "cliquemining.ckpt", side=(322, 322), public=True),
    "boq": CasevprName("boq-dinov2", "dinov2_12288.pth", side=(322, 322), public=True),
    "mixvpr": CasevprName(
        "mixvpr",
        "r50_mixvpr.ckpt",
        where=f"{_SHARED}; the file of the authors of MixVPR is taken by the word published",
        side=(320, 320),
    ),
    "none": CasevprName(NO_ENCODER),
    "vgg16_seqvlad": CasevprName(
        "seqvlad", "vgg16_seqvlad.pth", "sequence", pca="vgg16_seqvlad_pca.pkl"
    ),
    "jist": CasevprName("jist", "r18_jist_pretrained.pth", "sequence", public=True),
    "svpr": CasevprName("svpr", "svpr_pretrained.pth", "sequence", public=True),
    "hvpr_seqnet": CasevprName("seqnet", "netvladwpca4096_seqnet.pth", "both", side=(480, 640)),
    "hvpr_casevpr_224_crica": CasevprName(
        "casenet-224",
        "crica.pth",
        "both",
        where=_CRICA,
        options={"resize_on": "tensor"},
        side=(224, 224),
    ),
    "hvpr_casevpr_224": CasevprName("casenet-224", "casevpr_224.pth", "both", side=(224, 224)),
    "hvpr_casevpr_322": CasevprName("casenet-322", "casevpr_322.pth", "both", side=(322, 322)),
}
"""What each name in ``model_configs.py`` stands for."""


class Model(StrictModel):
    """An entry of ``model_configs.py``: a name of theirs with another file, or a new name.

    Attributes:
        like: Name of theirs whose method, role and options it has; its own by default.
        encoder: Or: one of our methods.
        file: Of the weights; ``random``, or ``published`` for what our method downloads.
        options: Of the method, in place of some of those.
        pca: File of a PCA behind a sequence encoder.
    """

    like: str | None = None
    encoder: str | None = None
    file: str | None = None
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    pca: str | None = None


class Place(StrictModel):
    """A data set: its root, and its layout and options where they are not those of CaseVPR."""

    root: Path
    layout: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class Paths(StrictModel):
    """Where data sets and weights are, and where results go.

    Attributes:
        datasets: Root (and layout, options) by CaseVPR's name of the data set, or by the path that
            stands in a JSON.
        weights: Folder of the weights under their own names, as ``models`` of their repository.
            By default ``models`` in the folder one works in, and the local cache.
        models: Files, or :class:`Model`, by name of the encoder.
        output: Folder for the runs.
        cache: Folder for descriptors.
        base: Folder that relative paths are in.
    """

    datasets: dict[str, Place] = Field(default_factory=dict)
    weights: Path | None = None
    models: dict[str, str | Model] = Field(default_factory=dict)
    output: Path = Path("output/test_logs")
    cache: Path | None = Path("output/feature_cache")
    base: Path = Field(default=Path(), exclude=True)

    def find(self, file: str) -> Path:
        """Where a file of weights of theirs is, or is expected."""
        if self.weights is not None:
            return self.base / self.weights / file
        beside = Path.cwd() / "models" / file
        return beside if beside.is_file() else weights_folder() / file

    def encoder(self, name: str, *, windows: bool = False) -> tuple[EncoderConfig, Role]:
        """The encoder that a name stands for, and what it describes.

        Args:
            name: One of :data:`NAMES`, or a new one of ``models``.
            windows: For the evaluation of sequences and for training, where images are resized
                otherwise than in the pipeline, and no PCA stands behind SeqVLAD.

        Raises:
            SettingError: The name is not known.
        """
        entry = self.models.get(name, Model())
        if isinstance(entry, str):
            entry = Model(file=entry)
        meant = self._meant(name, entry)
        options = {**meant.options, **({"resize_on": "image"} if windows and _sized(meant) else {})}
        weights = self._weights(entry, meant)
        pca = None if windows else self._pca(entry, meant, weights)
        try:
            config = EncoderConfig(
                encoder=meant.encoder,
                weights=weights,
                options={**options, **entry.options},
                projection=pca,
                known_as=name,
                published="" if meant.public else meant.where,
            )
        except ValidationError as error:
            raise SettingError(f"models.{name}: {describe_fields(error)}") from error
        return config, meant.role

    def _meant(self, name: str, entry: Model) -> CasevprName:
        if entry.encoder is not None:
            role: Role = "both" if "hvpr" in name else "frame"
            if role == "frame" and _is_sequence(entry.encoder):
                role = "sequence"
            return CasevprName(entry.encoder, role=role, public=True)
        like = entry.like or name
        if like not in NAMES:
            known = [*NAMES, *self.models]
            raise SettingError(unknown_name("no encoder of CaseVPR is called", like, known))
        return NAMES[like]

    def _weights(self, entry: Model, meant: CasevprName) -> str | None:
        if entry.file == RANDOM:
            return RANDOM
        if entry.file == PUBLISHED or not meant.file:
            return None if entry.file in (None, PUBLISHED) else str(self.base / entry.file)
        if entry.file is not None:
            return str(self.base / entry.file)
        theirs = self.find(meant.file)
        return None if meant.public and not theirs.is_file() else str(theirs)

    def _pca(self, entry: Model, meant: CasevprName, weights: str | None) -> str | None:
        if entry.pca is not None:
            return str(self.base / entry.pca)
        if meant.pca is None or weights == RANDOM:
            return None
        beside = None if weights is None else Path(weights).with_name(meant.pca)
        return str(beside if beside is not None and entry.file else self.find(meant.pca))


def read_paths(path: Path | None) -> Paths:
    """Read the file with the paths of data sets and weights; ``None`` for the defaults.

    Raises:
        SettingError: It cannot be read, or a field is wrong.
    """
    if path is None:
        return Paths(base=Path.cwd(), output=Path("output/seq_eval_logs"))
    found = validate(Paths, read_yaml(path, SettingError), path)
    return found.model_copy(update={"base": path.resolve().parent})


def _sized(meant: CasevprName) -> bool:
    return meant.encoder.startswith(("casenet", "cricavpr"))


def _is_sequence(encoder: str) -> bool:
    from placememory.encoders import info

    return info(encoder).sequence
