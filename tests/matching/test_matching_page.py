"""The Python of the page on matching runs and says what it claims; the page names every matcher."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from placememory.matching import create, names

PAGE = Path(__file__).resolve().parents[2] / "docs/concepts/matching.md"


def test_the_python_of_the_page_runs(capsys) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    values: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), values)
    assert values["found"].paths[0].tolist() == [120, 121, 121, 121, 123, 126]
    assert "relative" in capsys.readouterr().out


def test_the_page_names_every_matcher_with_its_settings() -> None:
    text = PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^\*\*([a-z0-9-]+)\*\* \((.*?)(?=\n\n)", text, re.DOTALL | re.M))
    assert set(sections) >= {name for name in names() if "." not in name}
    for name, section in sections.items():
        assert f"`{create(name).score_kind}`" in section, name
        for setting, parameter in inspect.signature(type(create(name))).parameters.items():
            flat = " ".join(section.split())
            known = f"{setting} {parameter.default}" in flat or f"{setting}=True" in flat
            assert known, (name, setting)
