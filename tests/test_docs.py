"""The table of features: each test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FEATURES = ROOT / "docs" / "features.md"

#: `tests/x/test_a.py`, `test_a.py::test_b`, or `::test_b` after a file in the same cell.
_NAMED = re.compile(r"`([\w/]*test_\w+\.py)?(?:::(\w+))?`")


@cache
def functions(path: Path) -> frozenset[str]:
    """The names of the test functions of a file, methods too."""
    tree = ast.parse(path.read_text())
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef))


def file_of(name: str) -> Path | None:
    """A bare file name is that of a parity test."""
    path = ROOT / name if "/" in name else ROOT / "tests" / "parity" / name
    return path if path.is_file() else None


def missing(cell: str) -> list[str]:
    """What is named in the text and not there."""
    found = []
    file: Path | None = None
    name = ""
    for one in _NAMED.finditer(cell):
        if one[1]:
            name, file = one[1], file_of(one[1])
            if file is None:
                found.append(name)
        if one[2] and (file is None or one[2] not in functions(file)):
            found.append(f"{name}::{one[2]}")
    return found


@pytest.mark.parametrize("line", [line for line in FEATURES.read_text().splitlines() if ".py" in line])
def test_tests_that_are_named_exist(line: str) -> None:
    assert missing(line) == []


def test_what_is_missing_is_found() -> None:
    assert missing("`test_nothing.py`") == ["test_nothing.py"]
    assert missing("`tests/test_docs.py::test_nothing`, `::missing`") == ["tests/test_docs.py::test_nothing"]
