"""The Python of the page on fusion runs and says what it claims; the page names every setting."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

from placememory.fusion import ObservationModel, PlaceTable, create, names

PAGE = Path(__file__).resolve().parents[2] / "docs/concepts/fusion.md"


def test_the_python_of_the_page_runs(capsys) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    values: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), values)
    assert values["belief"].best.row == 21
    assert capsys.readouterr().out.startswith("located ('0', 21)")


def test_the_page_names_every_method_with_its_settings() -> None:
    text = PAGE.read_text(encoding="utf-8")
    flat = " ".join(text.split())
    table = PlaceTable.from_arrays([[0.0, 0.0]])
    for name in (name for name in names() if "." not in name):
        assert f"**{name}** (" in text
        for setting, parameter in inspect.signature(type(create(name, table))).parameters.items():
            known = parameter.default in (None, inspect.Parameter.empty)
            assert known or f"`{setting}={parameter.default}`" in flat, (name, setting)
    for field in dataclasses.fields(ObservationModel):
        assert f"{field.name}={field.default}" in flat
