"""A results file that others can verify: numbers with all that they were made of, by hash.

``record`` writes it from finished runs; ``verify`` makes the same runs again from the data, and
compares. Images are hashed by content, so that a copy of the data on another machine will do.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from placememory._io import read_json, write_json
from placememory._types import TitledProgress
from placememory.datasets import Traverse
from placememory.encoders.weights import sha256_of
from placememory.errors import InputError, PlaceMemoryError
from placememory.evaluation.batch_audit import AuditMode
from placememory.evaluation.config import DatasetConfig, Evaluation
from placememory.evaluation.content import Contents, describe_code, files_beside
from placememory.evaluation.online import localize_run
from placememory.evaluation.plan import Run, forget_traverses, read_traverse, runs_of
from placememory.evaluation.runner import Answerer, evaluate
from placememory.evaluation.tables import RunSummary, finished_runs

FORMAT = "placememory results 1"
_PACKAGES = ("numpy", "scipy", "pillow", "onnxruntime", "torch", "timm")
_CONFIG = (
    "dataset", "pair", "system", "encoder", "sequence", "matcher", "settings", "variant",
)  # fmt: skip
_NEEDED = {"title", "code", "weights", "data", "descriptors", "numbers", "config"}
_AUDITS: dict[bool | None, AuditMode] = {True: "all", False: "auto", None: "off"}
_NOT_COMPARED = ("ms_per_frame", "dataset", "reference", "query", "system")


def digest_images(traverse: Traverse) -> str:
    """SHA-256 over the bytes of all images, poses, stamps, positions and positives; not over names.

    Raises:
        InputError: An image file cannot be read.
        ImageError: An image that has no file cannot be read.
    """
    digest = hashlib.sha256()
    for frame in traverse.frames:
        if frame.path is not None:
            try:
                digest.update(hashlib.sha256(frame.path.read_bytes()).digest())
            except OSError as error:
                raise InputError(f"{frame.path}: cannot be read ({error})") from error
        else:
            digest.update(np.ascontiguousarray(frame.image()).tobytes())
        pose = frame.pose
        facts = None if pose is None else (*pose.position.tolist(), pose.quaternion)
        digest.update(f"|{frame.index}|{frame.stamp}|{facts}\n".encode())
    for array in (traverse.positions, traverse.frame_numbers, traverse.tolerances):
        digest.update(b"|" if array is None else array.tobytes())
    for rows in traverse.positives or ():
        digest.update(rows.tobytes() + b"|")
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Maker:
    """How a run is made again.

    Attributes:
        kind: Class of its evaluation.
        answer: What runs its system.
    """

    kind: type[Evaluation] = Evaluation
    answer: Answerer = localize_run


MakerOf = Callable[[Mapping[str, Any]], Maker]
"""Chooses by the configuration of a run; other protocols than ours have another one."""


def record(
    runs: Iterable[RunSummary],
    path: Path,
    *,
    maker: MakerOf = lambda _: Maker(),
    progress: TitledProgress | None = None,
) -> Path:
    """Write the results file of finished runs.

    Args:
        runs: From :func:`placememory.evaluation.finished_runs`.
        path: Of the file, JSON.
        maker: How runs are made.
        progress: Called with a title, runs done and in all.

    Raises:
        InputError: Data or weights of a run have changed since, or it was made by an earlier
            version, which kept no hashes.
    """
    forget_traverses()
    listed, rows = list(runs), []
    contents, digests = Contents(), _Digests()
    for done, summary in enumerate(listed, start=1):
        config, metrics = summary.config, summary.metrics
        if "descriptors" not in metrics or "code" not in config:
            raise InputError(f"{summary.folder}: an earlier version made this run; evaluate again")
        [run] = runs_of(_evaluation(config, maker(config).kind, {}, Path()))
        if contents.of(run).key != metrics["content"]:
            raise InputError(
                f"{summary.folder}: its data or weights have changed since; evaluate again"
            )
        rows.append(
            {
                "title": metrics["title"],
                **{name: config[name] for name in ("command", "code", "weights")},
                "data": digests.of(run),
                "descriptors": metrics["descriptors"],
                "numbers": _numbers(summary),
                "config": {name: config[name] for name in _CONFIG},
            }
        )
        if progress is not None:
            progress("hashing data", done, len(listed))
    write_json(path, {"format": FORMAT, "environment": _environment(), "runs": rows})
    return path


@dataclass(frozen=True, slots=True)
class Verification:
    """What became of one run of a results file.

    Attributes:
        title: Of the run.
        data: Whether the images, poses and lists here are those of the file.
        weights: Whether the files of weights here are.
        code: Whether the source of the package is the same.
        descriptors: Whether descriptors made here are the same to the bit; ``None`` if not made.
        differences: Numbers that came out otherwise: name, in the file, here.
        error: Why it could not be verified.
    """

    title: str
    data: bool = False
    weights: bool = False
    code: bool = False
    descriptors: bool | None = None
    differences: tuple[tuple[str, Any, Any], ...] = ()
    error: str | None = None

    @property
    def holds(self) -> bool:
        """Whether data and weights are those of the file, and all numbers came out again.

        Other code, or other bits of descriptors, do not matter where the numbers are the same.
        """
        return self.error is None and self.data and self.weights and not self.differences

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "holds": self.holds}


def read_claims(path: Path) -> list[dict[str, Any]]:
    """The runs of a results file.

    Raises:
        InputError: It is none.
    """
    facts = read_json(path, InputError)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise InputError(f"{path}: this is no results file; placememory results record writes one")
    runs = facts.get("runs")
    if not isinstance(runs, list) or not all(
        isinstance(run, dict) and set(run) >= _NEEDED for run in runs
    ):
        raise InputError(f"{path}: each run of a results file has {', '.join(sorted(_NEEDED))}")
    return runs


def verify(
    claim: Mapping[str, Any],
    *,
    maker: MakerOf = lambda _: Maker(),
    roots: Mapping[str, Path] | None = None,
    tolerance: float = 0.0,
    rerun: bool = True,
    progress: TitledProgress | None = None,
) -> Verification:
    """Verify one run of a results file: hash the data, make the run again, compare the numbers.

    Args:
        claim: From :func:`read_claims`.
        maker: How runs are made.
        roots: Where data sets are here, by name; by default where they were.
        tolerance: By how much numbers may differ (of shares, 0.001 is 0.1 %).
        rerun: Whether to make the run again; else only the hashes are compared.
        progress: Called with a title, images or runs done, and in all.
    """
    title, config = str(claim["title"]), claim["config"]
    made = maker(config)
    forget_traverses()
    try:
        with tempfile.TemporaryDirectory(prefix="placememory-verify-") as folder:
            evaluation = _evaluation(config, made.kind, roots or {}, Path(folder))
            [run] = runs_of(evaluation)
            here = [row["sha256"] for row in Contents().of(run).weights]
            checked = Verification(
                title,
                data=_Digests().of(run) == claim["data"],
                weights=here == [row["sha256"] for row in claim["weights"]],
                code=describe_code() == claim["code"],
            )
            if not (rerun and checked.data and checked.weights):
                return checked
            audit = _AUDITS[claim["numbers"].get("moves_with_the_batch")]
            [report] = evaluate(
                evaluation, cached=False, figures=False, answer=made.answer, audit=audit,
                progress=progress,
            )  # fmt: skip
            if report.error is not None:
                return replace(checked, error=report.error)
            [found] = finished_runs(report.folder)
    except (PlaceMemoryError, ValidationError) as error:
        return Verification(title, error=str(error))
    numbers = _numbers(found)
    return replace(
        checked,
        descriptors=found.metrics["descriptors"] == claim["descriptors"],
        differences=tuple(
            (name, value, numbers.get(name))
            for name, value in claim["numbers"].items()
            if not _agree(value, numbers.get(name), tolerance)
        ),
    )


class _Digests:
    """Hashes data by content, each traverse once."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def of(self, run: Run) -> dict[str, Any]:
        """Hashes of the map, the queries and the files beside them."""
        found = {
            side: self._traverse(run.dataset, split)
            for side, split in (("map", run.map_name), ("query", run.pair.query))
        }
        return {**found, "files": [sha256_of(path) for path in files_beside(run.dataset)]}

    def _traverse(self, dataset: DatasetConfig, split: str) -> str:
        key = dataset.model_dump_json(include={"root", "layout", "options"}) + split
        if key not in self._of:
            self._of[key] = digest_images(read_traverse(dataset, split))
        return self._of[key]


def _evaluation(
    config: Mapping[str, Any], kind: type[Evaluation], roots: Mapping[str, Path], output: Path
) -> Evaluation:
    """The evaluation of one run alone, out of its configuration."""
    dataset, system, variant = dict(config["dataset"]), config["system"], config["variant"]
    name = dataset.pop("name")
    if name in roots:
        old = Path(dataset["root"])
        dataset["root"] = roots[name]
        if dataset["odometry"] and Path(dataset["odometry"]).is_relative_to(old.parent):
            base = roots[name].parent
            dataset["odometry"] = base / Path(dataset["odometry"]).relative_to(old.parent)
    encoders = {system["encoder"]: config["encoder"]}
    if config["sequence"] is not None:
        encoders[system["sequence"]] = config["sequence"]
    return kind.model_validate(
        {
            "name": "verify",
            "output": output,
            "cache": None,
            "datasets": {name: {**dataset, "pairs": [config["pair"]]}},
            "encoders": encoders,
            "matchers": {} if config["matcher"] is None else {system["matcher"]: config["matcher"]},
            "systems": [system],
            "settings": config["settings"],
            "variants": {variant: {}} if variant else {},
        }
    )


def _numbers(summary: RunSummary) -> dict[str, Any]:
    """The numbers that are compared: all but times and names."""
    return {k: value for k, value in summary.to_dict().items() if k not in _NOT_COMPARED}


def _agree(claimed: Any, found: Any, tolerance: float) -> bool:
    if isinstance(claimed, int | float) and isinstance(found, int | float):
        return abs(claimed - found) <= tolerance
    return bool(claimed == found)


def _environment() -> dict[str, Any]:
    """Versions of packages, and the machine; they explain differences, and are not compared."""
    packages: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    machine = f"{platform.system()} {platform.machine()}"
    return {"python": platform.python_version(), "machine": machine, "packages": packages}
