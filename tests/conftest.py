"""For all tests: compiled modules must be those of the sources beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

_PACKAGE = Path(__file__).resolve().parent.parent / "twistproxy"


def pytest_configure(config: pytest.Config) -> None:
    stale = [
        source
        for built in _PACKAGE.rglob("*.so")
        for source in (built.with_name(built.name.partition(".")[0] + ending) for ending in (".py", ".c"))
        if source.exists() and source.stat().st_mtime > built.stat().st_mtime
    ]
    if stale:
        names = ", ".join(str(path.relative_to(_PACKAGE)) for path in stale)
        raise pytest.UsageError(
            f"compiled before the last change of {names}: `make test` builds anew, `make clean` too"
        )
