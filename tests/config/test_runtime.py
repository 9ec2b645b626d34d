"""Runtime layers from the configuration, and values from text."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from twistproxy.config.fields import Reader, Report
from twistproxy.config.runtime import build_runtime, parse_value
from twistproxy.config.types import message_class
from twistproxy.errors import ConfigError
from twistproxy.model.runtime import AdminLayer, DiskLayer, StaticLayer


def build(*layers: dict[str, Any]) -> tuple[Any, list[str]]:
    bootstrap = message_class("envoy.config.bootstrap.v3.Bootstrap")
    assert bootstrap is not None
    message = ParseDict({"layered_runtime": {"layers": list(layers)}}, bootstrap())
    report = Report()
    root = Reader(message, report)
    built = build_runtime(root, "sleepy")
    return built, [f"{one.path}: {one.message}" for one in [*report.problems, *report.unread(root)]]


def test_a_static_layer_is_flat() -> None:
    values = {
        "a.b": 5,
        "half": 2.5,
        "on": True,
        "word": "x",
        "deep": {"er": {"still": 3}},
        "share": {"numerator": 1, "denominator": "MILLION"},
        "nothing": {},
    }
    (layer,), problems = build({"name": "s", "static_layer": values})
    assert problems == []
    assert isinstance(layer, StaticLayer)
    assert {key: (value.value, value.text.replace("\n", "")) for key, value in layer.values.items()} == {
        "a.b": (5, "5"),
        "half": (2.5, "2.5"),
        "on": (True, "true"),
        "word": ("x", "x"),
        "deep.er.still": (3, "3"),
        "share": (
            {"numerator": 1, "denominator": "MILLION"},
            'fields {  key: "denominator"  value {    string_value: "MILLION"  }}'
            'fields {  key: "numerator"  value {    number_value: 1  }}',
        ),
        "nothing": ({}, ""),
    }


def test_directories_and_the_admin() -> None:
    layers, problems = build(
        {"name": "d", "disk_layer": {"symlink_root": "/r"}},
        {
            "name": "o",
            "disk_layer": {"symlink_root": "/r", "subdirectory": "s", "append_service_cluster": True},
        },
        {"name": "a", "admin_layer": {}},
    )
    assert problems == []
    assert layers == (DiskLayer("d", "/r", "/r/"), DiskLayer("o", "/r", "/r/s/sleepy"), AdminLayer("a"))


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        ([{"name": "a", "static_layer": {"x": [1]}}], "static_layer: Invalid runtime entry value for x"),
        (
            [{"name": "a", "static_layer": {"x": {"y": None}}}],
            "static_layer: Invalid runtime entry value for x.y",
        ),
        ([{"name": "a", "disk_layer": {}}], "disk_layer.symlink_root: invalid file path"),
        ([{"name": "a", "rtds_layer": {"name": "x"}}], "rtds_layer: is not implemented"),
        ([{"name": "a", "admin_layer": {}}] * 2, "name: Duplicate layer name: a"),
        (
            [{"name": "a", "admin_layer": {}}, {"name": "b", "admin_layer": {}}],
            "admin_layer: Too many admin layers",
        ),
    ],
)
def test_mistakes(layers: list[dict[str, Any]], problem: str) -> None:
    _, problems = build(*layers)
    assert problems[0].partition("]")[2][1:].startswith(problem)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0x10", 16),
        ("2.5", "2.5"),
        ("true", True),
        ("yes", True),
        ('"77"', '"77"'),
        ("hello", "hello"),
        ("", ""),
        ("null", "null"),
        ("[1, 2]", "[1, 2]"),
        ("numerator: 5\ndenominator: MILLION", {"numerator": 5, "denominator": "MILLION"}),
    ],
)
def test_a_value_from_text_is_yaml(text: str, value: Any) -> None:
    found = parse_value(text)
    assert (found.value, found.text) == (value, text)


def test_what_is_no_yaml() -> None:
    with pytest.raises(ConfigError):
        parse_value("a: [")
