"""Commands with sub-commands that also do something by themselves."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class ShowOrCommand(TyperGroup):
    """What does not begin with a sub-command is what its command ``show`` gets.

    So ``placememory datasets msls`` is ``placememory datasets show msls``.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``show`` in front where no sub-command is."""
        if args and args[0] not in (*self.commands, "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)
