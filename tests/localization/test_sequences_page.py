"""The Python of the page on sequences runs and says what it claims; its table is the signature."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from placememory import Localizer

PAGE = Path(__file__).resolve().parents[2] / "docs/concepts/sequences.md"


def test_the_python_of_the_page_runs(capsys) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    values: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), values)
    estimates, lost = values["estimates"], values["lost"]
    assert estimates[0].match is None
    for i, estimate in enumerate(estimates):
        if estimate.match is not None:
            assert estimate.match.places[-1].index == 100 + i
            assert estimate.match.score < 0.6
    assert lost[-1].match.score > 0.6
    assert "[100, 101, 102, 103, 104]" in capsys.readouterr().out


def test_the_page_names_settings_with_their_defaults() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(rows) == 6
    parameters = inspect.signature(Localizer).parameters
    for name, default in rows:
        assert str(parameters[name].default) == default, name
