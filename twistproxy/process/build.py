"""Whether the data path runs compiled or as Python."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

#: One module of each kind: C by hand, and compiled from Python.
_MODULES = ("twistproxy.codec._h1", "twistproxy.stream.stream")


def uncompiled() -> list[str]:
    """The modules of `_MODULES` that are not there as machine code; nothing of them is imported."""
    found = {name: find_spec(name) for name in _MODULES}
    return [
        name
        for name, spec in found.items()
        if spec is None or not (spec.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
    ]
