"""For all tests: compiled modules must be those of the sources beside them, and what takes long comes first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["second_chance"]

# How fast this machine is just now says nothing about what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that wait for processes first: at the end short ones fill up what pytest's own processes have left.

    That needs `--no-loadscope-reorder`, or xdist begins with the modules that have the most tests, the quick ones.
    """
    marks = ("integration", "parity")
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in marks])
