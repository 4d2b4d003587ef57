"""``placememory encoders``: what there is, what it needs, and fetching weights."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from placememory.cli._common import out, print_json, print_table, progress, say
from placememory.encoders import EncoderInfo, info, names
from placememory.encoders._weights import find_weights, is_present

app = typer.Typer(help="List encoders, show one, fetch its weights.", invoke_without_command=True)


@app.callback()
def listing(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List encoders: dimension, input, licence, origin, and whether their weights are here."""
    if context.invoked_subcommand is not None:
        return
    known = [info(name) for name in names()]
    if as_json:
        print_json([_facts(encoder) for encoder in known])
        return
    rows = [[e.name, e.dim, e.input, e.licence, _weights(e), e.summary] for e in known]
    print_table(("encoder", "dim", "input", "licence", "weights", "what"), rows)


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of the encoder.")]) -> None:
    """Print everything known of an encoder."""
    for key, value in _facts(info(name)).items():
        out.print(
            f"{key.replace('_', ' '):>18}  {value if value is not None else '-'}", markup=False
        )


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="Name of the encoder.")]) -> None:
    """Download an encoder's weights, resuming if need be, and check them."""
    encoder = info(name)
    if encoder.weights is None:
        say(f"{name} needs no weights")
        return
    with progress(f"Fetching {encoder.weights.file}") as advance:
        path = find_weights(encoder.weights, progress=advance)
    say(f"{name}: {path} ({path.stat().st_size / 1e6:.1f} MB, checked)")


def _facts(encoder: EncoderInfo) -> dict[str, Any]:
    facts = encoder.model_dump(mode="json")
    return {**facts, "weights_present": _weights(encoder)}


def _weights(encoder: EncoderInfo) -> str:
    if encoder.weights is None:
        return "none needed"
    if not is_present(encoder.weights):
        return "to be fetched"
    return "in a package" if encoder.weights.package else "here"
