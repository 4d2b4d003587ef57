"""``placememory encoders``: list encoders and their requirements, and fetch weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from placememory.cli import _options as options
from placememory.cli._console import out, print_json, print_table, progress, say
from placememory.encoders import (
    Encoder,
    EncoderInfo,
    create,
    fit_projection,
    info,
    infos,
    save_projection,
)
from placememory.encoders.weights import find_weights, is_present
from placememory.errors import SettingError
from placememory.frames import Frame, FrameImages, list_frames, sample_evenly

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
    name: Annotated[str, typer.Argument(help="netvlad-wpca, anyloc, or pca.")],
    images: Annotated[Path, typer.Argument(help="Folder or video to fit on.")],
    out_file: Annotated[Path, typer.Argument(metavar="OUT", help="FILE.safetensors.")],
    trunk: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint with the trunk (NetVLAD or VGG16; DINOv2); default: published."
        ),
    ] = None,
    words: Annotated[
        int | None, typer.Option(min=2, help="Clusters; default: 64, of anyloc 32.")
    ] = None,
    dim: Annotated[int, typer.Option(min=1, help="Values kept; fewer than images.")] = 4096,
    seed: Annotated[int, typer.Option(min=0, help="Of the clustering.")] = 0,
    every: options.Every = 1,
    device: options.Device = "cpu",
    set_option: options.EncoderOptions = None,
    encoder: Annotated[
        str | None, typer.Option(help="Of pca: whose descriptors are projected.")
    ] = None,
    weights: options.Weights = None,
    whiten: Annotated[
        bool, typer.Option("--whiten", help="Of pca: all components count alike.")
    ] = False,
) -> None:
    """Fit NetVLAD's clusters and whitening, AnyLoc's words, or a PCA, on your own images.

    The file of netvlad-wpca serves as --weights, that of anyloc as --set vocabulary=FILE, that of
    pca as --pca of build, and as projection of an encoder in a configuration of evaluate.

    Example: [b]placememory encoders fit netvlad-wpca run1/ own.safetensors --dim 512[/b], then
    [b]placememory build b.memory run1/ --encoder netvlad-wpca --set dim=512
    --weights own.safetensors[/b]

    Example: [b]placememory encoders fit anyloc run1/ words.safetensors --set model=vitb14
    --set layer=10[/b]
    """
    if name not in ("netvlad-wpca", "anyloc", "pca"):
        raise SettingError(f"netvlad-wpca, anyloc and pca are fitted this way, not {name!r}")
    if name != "pca" and (encoder is not None or weights is not None or whiten):
        raise SettingError("--encoder, --weights and --whiten are for pca")
    frames = list_frames(images, every=every)
    if name == "pca":
        if encoder is None:
            raise SettingError("say whose descriptors are projected: --encoder NAME")
        settings: dict[str, Any] = options.options_of(set_option or [])
        made = create(encoder, weights, device=device, **settings)
        _fit_pca(made, frames, images, out_file, dim, whiten=whiten)
        return
    if name == "anyloc":
        if words is not None:
            raise SettingError("the words of anyloc are one of its options: --set words=32")
        settings = {"seed": seed, **options.options_of(set_option or [])}
        _fit_words(frames, out_file, images, trunk, device, settings)
        return
    if set_option:
        raise SettingError("netvlad-wpca is fitted with --words, --dim and --seed, not with --set")
    words = words or 64
    from placememory.encoders.device import choose_device
    from placememory.encoders.netvlad import WPCA_PREPROCESS, fit_netvlad, load_trunk, save_weights

    source = info(name).weights
    assert source is not None
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


def _fit_pca(
    encoder: Encoder,
    frames: Sequence[Frame],
    images: Path,
    out_file: Path,
    dim: int,
    *,
    whiten: bool,
) -> None:
    with progress("Fitting") as advance:
        mean, axes = fit_projection(
            encoder, FrameImages(frames), dim, whiten=whiten, progress=advance
        )
    notes = {
        "encoder": encoder.card.name,
        "fitted_on": f"{len(frames)} images of {images.resolve().name}",
        "whitened": str(whiten).lower(),
    }
    save_projection(out_file, mean, axes, notes)
    say(f"{out_file}: {dim} components for {encoder.card.name}, fitted on {len(frames)} images")


def _fit_words(
    frames: Sequence[Frame],
    out_file: Path,
    images: Path,
    trunk: Path | None,
    device: str,
    settings: Mapping[str, Any],
) -> None:
    from placememory.encoders.anyloc import OWN_IMAGES, AnyLocEncoder

    if "vocabulary" in settings:
        raise SettingError("a vocabulary is fitted here; leave out --set vocabulary")
    encoder = create("anyloc", trunk, device=device, vocabulary=OWN_IMAGES, **settings)
    assert isinstance(encoder, AnyLocEncoder)
    chosen = [frames[int(i)] for i in sample_evenly(len(frames), encoder.fit_sample)]
    fitted = encoder.fit(FrameImages(chosen))
    fitted.save_words(out_file, f"{len(chosen)} images of {images.resolve().name}")
    say(f"{out_file}: {len(fitted.words)} words, fitted on {len(chosen)} images")


def _facts(encoder: EncoderInfo) -> dict[str, Any]:
    facts = encoder.model_dump(mode="json")
    return {**facts, "weights_present": _weights(encoder)}


def _weights(encoder: EncoderInfo) -> str:
    if encoder.weights is None:
        return "none needed"
    if not is_present(encoder.weights):
        return "to be fetched" if encoder.weights.url else "to be fetched by hand"
    return "in a package" if encoder.weights.package else "here"
