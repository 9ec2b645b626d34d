"""Whatever is done to a configuration, loading it answers with a message or with a ConfigError that has places."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.config.load import load_text
from twistproxy.config.v1 import convert_v1
from twistproxy.errors import ConfigError

from .v1_samples import EVERYTHING, SIDECAR, text

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, 2**31, 2**64, "", "y", "5", "5s", "1.5", "ROUND_ROBIN", "auto", "a\nb", [], {},
    [1], ["a"], [None], [[]], {"a": 1}, {"value": 3}, "x" * 70, 101, 65536, "tcp://1.2.3.4:5",
]  # fmt: skip
V1 = [EVERYTHING, json.loads(SIDECAR)]
V3 = [yaml.safe_load(convert_v1(text(config))[0]) for config in V1]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from _places(inner)


def _mutated(document: Any, chance: random.Random) -> Any:
    document = copy.deepcopy(document)
    for _ in range(chance.choice([1, 1, 2, 4])):
        places = list(_places(document))
        if not places:
            break
        owner, key = chance.choice(places)
        action = chance.random()
        if action < 0.15:
            del owner[key]
        elif action < 0.3 and isinstance(owner, dict):
            owner[str(key) + chance.choice(["x", "_ms", "s"])] = owner.pop(key)
        else:
            owner[key] = copy.deepcopy(chance.choice(VALUES))
    return document


@pytest.mark.parametrize("documents", [V1, V3], ids=["v1", "v3"])
@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_mutated_configuration(documents: list[Any], chance: random.Random) -> None:
    content = json.dumps(_mutated(chance.choice(documents), chance), indent=1)
    problems = []
    try:
        load_text(content, "c.json")
    except ConfigError as caught:
        problems = caught.problems
    assert all(problem.file == "c.json" and problem.line > 0 and problem.column > 0 for problem in problems)
    assert [(p.line, p.column) for p in problems] == sorted((p.line, p.column) for p in problems)
