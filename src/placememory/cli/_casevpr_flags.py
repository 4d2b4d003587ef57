"""The flags of CaseVPR's scripts, understood: each becomes an option of ours, which is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typer.core import TyperCommand

from placememory.cli._console import say
from placememory.errors import SettingError


@dataclass(frozen=True)
class Flag:
    """What a flag of theirs is here.

    Attributes:
        ours: Our option; ``""`` where the value is the argument, or nothing is needed.
        takes: How many values it takes: 0, 1, or -1 for all numbers that follow.
        told: Said in place of the option's name, where there is none.
        gpu: Whether values are numbers of GPUs.
        refused: Why it is refused; ``""`` if it is not.
    """

    ours: str = ""
    takes: int = 0
    told: str = ""
    gpu: bool = False
    refused: str = ""


FLAGS = {
    "evaluate": {
        "--json_path": Flag(takes=1, told="the argument CONFIG"),
        "--process_num": Flag("--workers", 1),
        "--gpu_ids": Flag("--devices", -1, gpu=True),
        "--ignore_ckpt": Flag("--fresh"),
        "--no_cache": Flag("--no-cache"),
        "--show_console": Flag(told="not needed: progress is always shown"),
        "--debug": Flag(refused="use --dry-run, or --no-cache and another output"),
    },
    "evaluate-sequences": {
        "--config": Flag(takes=1, told="the argument CONFIG"),
        "--gpu-id": Flag("--device", 1, gpu=True),
        "--no_cache": Flag("--no-cache"),
    },
    "train": {
        "--config": Flag(takes=1, told="the argument CONFIG"),
        "--gpu-id": Flag("--device", 1, gpu=True),
        "--resume-logdir": Flag("--resume", 1),
    },
}
"""CaseVPR's flags by command of ours."""


def translate(command: str, arguments: list[str]) -> list[str]:
    """Arguments with CaseVPR's flags replaced by our options, each of which is told.

    Raises:
        SettingError: A flag has no value, or is not honoured.

    Example:
        >>> translate("evaluate", ["a.json", "--process_num", "2", "--gpu_ids", "0", "1"])
        ['a.json', '--workers', '2', '--devices', 'cuda:0,cuda:1']
    """
    known, found, left = FLAGS[command], list[str](), list(arguments)
    while left:
        name, equals, value = left.pop(0).partition("=")
        flag = known.get(name)
        if flag is None:
            found.append(f"{name}{equals}{value}")
            continue
        if flag.refused:
            raise SettingError(f"{name} of CaseVPR is not known here; {flag.refused}")
        values = value.split(",") if equals else _take(name, flag, left)
        if flag.gpu:
            values = [",".join(f"cuda:{one}" for one in values)]
        ours = [flag.ours] if flag.ours else []
        found += [*ours, *values]
        say(f"{name} of CaseVPR is {' '.join([*ours, *values]) if ours else flag.told} here")
    return found


def _take(name: str, flag: Flag, left: list[str]) -> list[str]:
    values: list[str] = []
    while left and (len(values) < flag.takes or (flag.takes < 0 and _is_number(left[0]))):
        values += left.pop(0).split(",")
    if flag.takes and not values:
        raise SettingError(f"{name} needs a value")
    return values


def _is_number(text: str) -> bool:
    return text.replace(",", "").isdigit()


class CasevprCommand(TyperCommand):
    """A command that understands CaseVPR's flags."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what is left when the flags have been translated."""
        return super().parse_args(ctx, translate(str(self.name), args))
