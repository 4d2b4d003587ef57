"""``placememory train``: encoders learn from traverses with poses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._casevpr_flags import CasevprCommand
from placememory.cli._console import Bars, out, print_json, print_table, say
from placememory.errors import PlaceMemoryError, SettingError

if TYPE_CHECKING:
    from placememory.training import DryRun, TrainingResult

COMMAND = CasevprCommand


def run(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file, or CaseVPR's JSON.", show_default=False)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="key=value: fields to change, as optimization.lr=1e-4."),
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Build all, take one batch, train nothing.")
    ] = False,
    going_on: Annotated[
        Path | None, typer.Option("--resume", help="Folder of a run to go on with.")
    ] = None,
    paths: Annotated[
        Path | None,
        typer.Option(help="For CaseVPR's JSON: YAML that says where data sets and weights are."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, cuda:1 or mps; by default what the JSON says, else cpu."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Train an encoder: data, mining, loss and schedule from a file.

    Example: [b]placememory train casenet.yaml optimization.epochs=5[/b]

    The run gets a folder below output/train_logs with the configuration used, log.jsonl,
    TensorBoard events, checkpoints, training.png and best.safetensors, which is at once usable as
    weights. Stop it at any time; --resume goes on as if it had not stopped. On several processes:
    accelerate launch --num_processes 2 -m placememory train casenet.yaml.
    """
    if (config is None) == (going_on is None):
        raise SettingError("give a configuration, or --resume and the folder of a run")
    if going_on is not None and dry:
        raise SettingError("--dry-run looks at a configuration, --resume goes on with a run")
    from placememory.compat.casevpr import device_of, read_casevpr_training
    from placememory.training import dry_run, read_training, resume, train

    values = None
    if config is not None and config.suffix.lower() == ".json":
        values, device = read_casevpr_training(config, paths), device or device_of(config)
    where = device or "cpu"
    with _print_resume_hint(), Bars() as bars:
        if config is None:
            assert going_on is not None
            result: TrainingResult | DryRun = resume(going_on, device=where, progress=bars.update)
        else:
            training = read_training(config, tuple(changes or ()), values=values)
            result = (dry_run if dry else train)(training, device=where, progress=bars.update)
    if os.environ.get("RANK", "0") == "0":  # one of several processes prints
        _print(result, as_json=as_json)


def _print(result: TrainingResult | DryRun, *, as_json: bool) -> None:
    from placememory.training import TrainingResult

    if as_json:
        print_json(result.to_dict())
    elif isinstance(result, TrainingResult):
        out.print(str(result))
        say(f"log, events, checkpoints and training.png: {result.folder}")
    else:
        print_table(("", ""), result.rows())


@contextmanager
def _print_resume_hint() -> Iterator[None]:
    """Print how to resume a run that an error or Ctrl-C ended."""
    try:
        yield
    except BaseException as error:  # Ctrl-C, too
        notes = getattr(error, "__notes__", [])
        if notes and not isinstance(error, Exception):
            raise PlaceMemoryError(f"interrupted; {notes[-1]}") from error
        for note in notes:
            say(note)
        raise
