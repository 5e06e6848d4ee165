"""The README's examples run, and its commands are the two that it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=[f"example{i}" for i in range(len(EXAMPLES))])
def test_example(code):
    exec(compile(code, str(README), "exec"), {"__name__": "readme"})


def test_commands():
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(EXAMPLES) == 2
    assert len(blocks) == 2
    for block in blocks:
        assert block.count("\n") == 1, "one line each"
        assert block.startswith("python3 -m venv .venv && .venv/bin/pip install ")
