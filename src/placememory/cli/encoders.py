"""``placememory encoders``: list encoders and their requirements, and fetch weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.cli._console import out, print_json, print_table, progress, say
from placememory.encoders import EncoderInfo, info, infos
from placememory.encoders.weights import find_weights, is_present
from placememory.errors import SettingError
from placememory.frames import FrameImages, list_frames

app = typer.Typer(
    help="List encoders, show one, fetch its weights.",
    invoke_without_command=True,
    add_completion=False,
)


@app.callback()
def listing(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List encoders: dimension, input, licence, origin, and whether their weights are here."""
    if context.invoked_subcommand is not None:
        return
    known = infos()
    if as_json:
        print_json([_facts(encoder) for encoder in known])
        return
    rows = [
        [e.name, e.dim, e.input, e.licence, e.origin.partition(";")[0], _weights(e)] for e in known
    ]
    print_table(("encoder", "dim", "input", "licence", "origin", "weights"), rows)


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of the encoder.")]) -> None:
    """Print everything known of an encoder."""
    for key, value in _facts(info(name)).items():
        out.print(f"{key.replace('_', ' '):>18}  {value if value is not None else '-'}")


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


@app.command()
def fit(
    name: Annotated[str, typer.Argument(help="netvlad-wpca.")],
    images: Annotated[Path, typer.Argument(help="Folder or video to fit on.")],
    out_file: Annotated[Path, typer.Argument(metavar="OUT", help="FILE.safetensors.")],
    trunk: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of NetVLAD or VGG16 with the trunk; default: published."),
    ] = None,
    words: Annotated[int, typer.Option(min=2, help="Clusters.")] = 64,
    dim: Annotated[int, typer.Option(min=1, help="Values kept; fewer than images.")] = 4096,
    seed: Annotated[int, typer.Option(min=0, help="Of the clustering.")] = 0,
    every: options.Every = 1,
    device: options.Device = "cpu",
) -> None:
    """Fit NetVLAD's clusters and whitening on your own images; the result serves as --weights.

    Example: [b]placememory encoders fit netvlad-wpca run1/ own.safetensors --dim 512[/b], then
    [b]placememory build b.memory run1/ --encoder netvlad-wpca --set dim=512
    --weights own.safetensors[/b]
    """
    if name != "netvlad-wpca":
        raise SettingError(f"only netvlad-wpca is fitted this way, not {name!r}")
    from placememory.encoders.device import choose_device
    from placememory.encoders.netvlad import WPCA_PREPROCESS, fit_netvlad, load_trunk, save_weights

    source = info(name).weights
    assert source is not None
    frames = list_frames(images, every=every)
    with progress("Fitting") as advance:
        network = fit_netvlad(
            load_trunk(trunk or find_weights(source)),
            FrameImages(frames),
            choose_device(device, "float32"),
            WPCA_PREPROCESS,
            words=words,
            dim=dim,
            seed=seed,
            progress=advance,
        )
    save_weights(network, out_file)
    say(f"{out_file}: {words} words, {dim} values, fitted on {len(frames)} images")


def _facts(encoder: EncoderInfo) -> dict[str, Any]:
    facts = encoder.model_dump(mode="json")
    return {**facts, "weights_present": _weights(encoder)}


def _weights(encoder: EncoderInfo) -> str:
    if encoder.weights is None:
        return "none needed"
    if not is_present(encoder.weights):
        return "to be fetched" if encoder.weights.url else "to be fetched by hand"
    return "in a package" if encoder.weights.package else "here"
