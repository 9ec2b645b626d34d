"""YAML and JSON texts to trees with places."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.config.places import Mapping, Node, Scalar, Sequence, locate
from twistproxy.config.source import parse, reads_as_text
from twistproxy.errors import ConfigError


def plain(node: Node) -> Any:
    if isinstance(node, Mapping):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value


def read(text: str, name: str = "c.yaml") -> Any:
    return plain(parse(text, name).root)


def place(text: str, path: str) -> tuple[int, int] | None:
    found = locate([parse(text, "c.yaml")], path)
    return None if found is None else found[0].place(found[1])


def error(text: str, name: str = "c.yaml") -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, name)
    assert len(caught.value.problems) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True), ("Y", True), ("yes", True), ("On", True), ("TRUE", True),
        ("n", False), ("No", False), ("OFF", False), ("false", False),
        ("oN", "oN"), ("'y'", "y"), ('"no"', "no"), ("|-\n  y", "y"), ("!!str y", True),
        ("5", 5), ("-3", -3), ("+7", 7), ("0x10", 16), ("010", 8), ("08", "08"), ("0o10", "0o10"),
        ("1_000", "1_000"), ("2147483648", "2147483648"), ("-2147483648", -2147483648), ("'5'", "5"),
        ("0x80000000", "2147483648"), ("99999999999999999999", "99999999999999999999"),
        ("1.5", "1.5"), ("1e3", "1e3"), (".inf", ".inf"), ("2020-01-01", "2020-01-01"), ("5s", "5s"),
        ("~", None), ("null", None), ("NULL", None), ("", None), ("nULL", "nULL"), ("''", ""),
    ],
)  # fmt: skip
def test_yaml_scalars_are_as_envoy_takes_them(text: str, value: object) -> None:
    found = read(f"a: {text}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_json_scalars() -> None:
    text = '{"a": 1.5, "b": 1e3, "c": 12345678901234567890, "d": null, "e": true, "f": "y", "g": [1, -2]}'
    expected = {
        "a": 1.5,
        "b": 1000.0,
        "c": 12345678901234567890,
        "d": None,
        "e": True,
        "f": "y",
        "g": [1, -2],
    }
    assert read(text, "c.json") == expected


def test_json_may_have_tabs_and_escapes() -> None:
    assert read('{\t"a":\t["\\u00e4\\ud83d\\ude00\\/",\n\t"x\ty"]}') == {"a": ["ä\U0001f600/", "x\ty"]}


def test_what_begins_with_a_brace_and_is_not_json_is_yaml() -> None:
    assert read("{a: 'b', }", "c.conf") == {"a": "b"}


def test_json_files_may_have_what_envoy_lets_pass_in_them() -> None:
    assert read("{a: 'b\\'\"\\n', 'c': [1, 2,], }", "c.json") == {"a": "b'\"\n", "c": [1, 2]}


def test_yaml_files_are_yaml_even_in_braces() -> None:
    assert read("{a: y, 'b\\': 1.5}", "c.yaml") == {"a": True, "b\\": "1.5"}


def test_anchors_merge_keys_and_ignored_entries() -> None:
    text = "!ignore base: &b {x: 1, y2: 2}\nuse: *b\nmerged:\n  <<: *b\n  x: 3\nmany: {<<: [{p: 1}, {p: 2, q: 3}]}\n"
    assert read(text) == {
        "use": {"x": 1, "y2": 2},
        "merged": {"x": 3, "y2": 2},
        "many": {"p": 1, "q": 3},
    }


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", '{"a": 1,\n"b": 2,\n"a": 3}'])
def test_a_key_given_twice_is_a_warning_and_the_last_counts(text: str) -> None:
    tree = parse(text, "c.yaml")
    assert plain(tree.root) == {"a": 3, "b": 2}
    (warning,) = tree.warnings
    assert (warning.line, warning.column) == (3, 1)
    assert "line 1" in warning.message


def test_only_the_first_document_counts() -> None:
    tree = parse("a: 1\n---\nb: 2\n", "c.yaml")
    assert plain(tree.root) == {"a": 1}
    assert "first of several" in tree.warnings[0].message


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a:\n  - b: c: d\n", "c.yaml:2:9: not valid YAML: mapping values are not allowed"),
        ("a:\n\tb: 1\n", "c.yaml:2:1: not valid YAML: a tab cannot indent YAML"),
        ("a: [1,\nb: 2\n", "c.yaml:3:1: not valid YAML"),
        ("a: *x\n", "c.yaml:1:4: not valid YAML: found undefined alias"),
        ("", "c.yaml:1:1: the configuration is empty"),
        ("? [a]\n: 1\n", "c.yaml:1:3: a key must be plain text"),
        ("<<: 5\n", "c.yaml:1:1: a merge key"),
        ("a: \x01\n", "c.yaml:1:"),
        ("[" * 200 + "]" * 200, "c.yaml:1:101: "),
    ],
)
def test_yaml_errors(text: str, start: str) -> None:
    assert error(text).startswith(start)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('{"a": 1,\n "b" 2}', "c.json:2:6: not valid JSON: expected ':' after the key, found '2'"),
        ('{"a": [1 2]}', "c.json:1:10: not valid JSON: expected ',' or ']', found '2'"),
        ('{"a": 1 "b": 2}', "c.json:1:9: not valid JSON: expected ',' or '}', found '\"'"),
        ('{"a": "b', "c.json:1:7: not valid JSON: expected a string"),
        ('{"a": 1} x', "c.json:1:10: not valid JSON: expected nothing more"),
        ('{"a": {"b": 1}', "c.json:1:15: not valid JSON: expected ',' or '}', found the end"),
        ('{"a": "\\ud83d"}', "c.json:1:7: not valid JSON: expected surrogate escapes only in pairs"),
        ('{"a": "\\q"}', "c.json:1:8: not valid JSON"),
        ('{"a": ,}', "c.json:1:7: not valid JSON: expected a value, found ','"),
        ('{"a":' * 150 + "1" + "}" * 150, "c.json:1:501: not valid JSON: expected at most 100 levels"),
    ],
)
def test_json_errors(text: str, start: str) -> None:
    assert error(text, "c.json").startswith(start)


TEXT = """\
a:
  b_c:
    - x: 1
      y.z: 2
    - 3
"e[0]": {f: [g]}
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", (1, 1)),
        ("a.b_c", (2, 3)),
        ("a.b_c[0]", (3, 7)),
        ("a.b_c[0].x", (3, 10)),
        ('a.b_c[0]["y.z"]', (4, 12)),
        ("a.b_c[1]", (5, 7)),
        ("a.b_c[7].nothing", (2, 3)),
        ("a.b_c[0].nothing", (3, 7)),
        ('["e[0]"].f[0]', (6, 14)),
        ("", (1, 1)),
    ],
)
def test_places(path: str, expected: tuple[int, int]) -> None:
    assert place(TEXT, path) == expected


def test_places_count_lines_as_editors_do() -> None:
    assert place("\ufeffa: 1\r\nb: ä\rc: \U0001f600 # x\nd: {e: 5}\n", "d.e") == (4, 8)


def test_camel_case_keys_are_found_by_their_proto_names() -> None:
    assert place("routeConfig: {virtualHosts: []}", "route_config.virtual_hosts") == (1, 15)


_texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff"))
_scalars = st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | _texts
_documents = st.dictionaries(
    _texts,
    st.recursive(
        _scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
        max_leaves=20,
    ),
    max_size=5,
)


@given(_documents | st.lists(_scalars, max_size=4), st.sampled_from([None, 1]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_json_is_read_as_python_reads_it(document: Any, indent: int | None, ascii_only: bool) -> None:
    assert read(json.dumps(document, indent=indent, ensure_ascii=ascii_only), "c.json") == document


class _Quoting(yaml.SafeDumper):
    """Quotes what would not be read as text."""


def _represent(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style=None if reads_as_text(value) else '"'
    )


_Quoting.add_representer(str, _represent)


@given(_documents, st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_yaml_comes_back_as_it_was_written(document: Any, flow: bool) -> None:
    keys_are_text = "<<" not in json.dumps(document)
    if keys_are_text:
        text = yaml.dump(document, Dumper=_Quoting, default_flow_style=flow, allow_unicode=True)
        assert read(text) == document


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_text_does_worse_than_a_configuration_error(text: str) -> None:
    problems = []
    for name in ("c.json", "c.yaml"):
        try:
            parse(text, name)
        except ConfigError as caught:
            problems += caught.problems
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)


def test_a_scalar_remembers_how_it_was_written() -> None:
    root = parse("a: off", "c.yaml").root
    assert isinstance(root, Mapping)
    node = root.get("a")
    assert isinstance(node, Scalar)
    assert node.text == "off"
