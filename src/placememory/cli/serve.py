"""``placememory serve``: an HTTP service."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from placememory.cli import _options as options
from placememory.cli._console import say
from placememory.errors import MissingExtraError, SettingError
from placememory.memory import PlaceMemory

_LIMITS = "Limits"


@options.expand_groups
def run(
    memory: options.Memory,
    running: options.Running,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            help="What clients must send; on an address that others reach, one is made up and "
            "printed.",
            envvar="PLACEMEMORY_TOKEN",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="NAME=FOLDER",
            help="Show a finished run that localize wrote; repeat.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[RUN=]FOLDER",
            help="Where images are: RUN=FOLDER those of a run, FOLDER those of the memory; "
            "default: where they were. Repeat.",
            show_default=False,
        ),
    ] = None,
    map_yaml: options.MapYaml = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify",
            help="Compare images by local features where the belief is in doubt, where the extra "
            "verify is installed.",
        ),
    ] = True,
    writable: Annotated[
        bool, typer.Option("--writable", help="Let streams be added to the memory as sessions.")
    ] = False,
    max_megabytes: Annotated[
        float, typer.Option(help="Largest upload.", rich_help_panel=_LIMITS)
    ] = 20.0,
    max_megapixels: Annotated[
        float, typer.Option(help="Largest image.", rich_help_panel=_LIMITS)
    ] = 50.0,
    max_rate: Annotated[
        float,
        typer.Option(
            help="Uploads a second of one client; 0 for no bound.", rich_help_panel=_LIMITS
        ),
    ] = 100.0,
    max_streams: Annotated[
        int, typer.Option(min=1, help="Streams at a time.", rich_help_panel=_LIMITS)
    ] = 16,
    idle: Annotated[
        float,
        typer.Option(
            help="Seconds without a frame after which a stream ends.", rich_help_panel=_LIMITS
        ),
    ] = 300.0,
) -> None:
    """Serve a memory over HTTP until Ctrl-C: localise images and streams, search, look at runs.

    Example: [b]placememory serve office.memory --run evening=answers/run2[/b]

    The page is at /, the description for programs at /openapi.json, metrics at /metrics. Only this
    machine may ask, unless --host says otherwise; then a token is needed. The memory is read-only
    unless --writable. Addresses and examples are in docs/serve.md.
    """
    try:
        from placememory.serve.server import serve
        from placememory.serve.settings import ServeSettings, is_loopback
    except ImportError as error:
        raise MissingExtraError(
            f"the service needs: pip install 'placememory[serve]' ({error})"
        ) from error
    made = token is None and not is_loopback(host)
    token = secrets.token_urlsafe(24) if made else token
    folders, run_images = _split_images(images or [])
    settings = ServeSettings(
        host=host,
        port=port,
        token=token,
        max_megabytes=max_megabytes,
        max_megapixels=max_megapixels,
        max_rate=max_rate,
        max_streams=max_streams,
        idle=idle,
        verify=verify,
        writable=writable,
        runs=_name_runs(runs or []),
        run_images=run_images,
        images=folders,
        map_yaml=map_yaml,
    )

    def tell(address: str) -> None:
        if made:
            say(f"token: {token}")
        say(f"serving {memory} at {address}{f'?token={token}' if made else ''} (Ctrl-C ends it)")

    with PlaceMemory.open(memory, readonly=not writable) as opened:
        serve(opened, settings, encoder=running.encoder_of(opened), on_start=tell)


def _name_runs(given: Sequence[str]) -> dict[str, Path]:
    """Folders of runs by their names; a folder alone is named after itself."""
    runs: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        path = Path(folder if equals else text)
        name = name if equals else path.resolve().name
        if name in runs:
            raise SettingError(f"two runs are named {name!r}; give NAME=FOLDER")
        runs[name] = path
    return runs


def _split_images(given: Sequence[str]) -> tuple[Path | None, dict[str, Path]]:
    """The folder of the memory's images, and those of runs."""
    own, of_runs = None, dict[str, Path]()
    for text in given:
        name, equals, folder = text.partition("=")
        path = Path(folder if equals else text)
        if not path.exists():
            raise SettingError(f"--images {text}: there is no such folder, video or bag")
        if equals:
            of_runs[name] = path
        else:
            own = path
    return own, of_runs
