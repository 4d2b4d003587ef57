"""The Python of the page on sequences runs and says what it claims; its tables name everything."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from placememory.compat.casevpr.pipeline import SequencePipeline

PAGE = Path(__file__).resolve().parents[2] / "docs/concepts/sequences.md"


def test_the_python_of_the_page_runs(capsys) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    values: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), values)
    results, lost = values["results"], values["lost"]
    assert results[0].skipped == "warming-up"
    assert results[4].path.tolist() == [100, 101, 102, 103, 104]
    assert all(r.accepted and r.matched == 100 + i for i, r in enumerate(results) if r.searched)
    assert not lost[-1].accepted
    assert "[100 101 102 103 104]" in capsys.readouterr().out


def test_the_page_names_every_parameter_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.M))
    for name, parameter in inspect.signature(SequencePipeline).parameters.items():
        default = {"inf": "infinity", "1.0": "1"}.get(str(parameter.default), parameter.default)
        assert rows[name].strip("` ") == str(default), name
