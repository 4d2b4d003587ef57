"""``placememory train``: encoders learn from traverses with poses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._common import Bars, out, print_json, print_table, say
from placememory.errors import PlaceMemoryError, SettingError


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
    device: options.Device = "cpu",
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
    try:
        with Bars() as bars:
            found = _dried(config, changes, device, bars) if dry and config else None
            result = None if found else _trained(config, changes, going_on, device, bars)
    except BaseException as error:  # Ctrl-C, too
        _say_how_to_go_on(error)
        raise
    if os.environ.get("RANK", "0") != "0":
        return
    if found is not None:
        print_json(found.to_dict()) if as_json else print_table(("", ""), found.rows())
    elif as_json:
        print_json(result.to_dict())
    else:
        out.print(str(result), markup=False)
        say(f"log, events and checkpoints: {result.folder}")
