"""Whether the data path is compiled is said as it is."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

from twistproxy.process.build import uncompiled


def test_what_is_not_compiled_is_named() -> None:
    named = uncompiled()
    for name in ("twistproxy.codec._h1", "twistproxy.stream.stream"):
        spec = find_spec(name)
        compiled = spec is not None and any(str(spec.origin).endswith(end) for end in EXTENSION_SUFFIXES)
        assert (name in named) is not compiled
