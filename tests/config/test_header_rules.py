"""What of header rules is refused, and where."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.route.v3 import route_components_pb2
from google.protobuf import json_format

from twistproxy.config.fields import Reader, Report
from twistproxy.config.header_rules import build_rule_level
from twistproxy.errors import ConfigProblem
from twistproxy.model.header_rules import HeaderRules, HeaderToAdd, RuleLevel


def build(fields: dict[str, Any]) -> tuple[RuleLevel, list[ConfigProblem]]:
    report = Report()
    reader = Reader(json_format.ParseDict(fields, route_components_pb2.Route()), report)
    return build_rule_level(reader), report.problems + report.unread(reader)


def adding(name: str, value: str = "v", **option: Any) -> dict[str, Any]:
    return {"request_headers_to_add": [{"header": {"key": name, "value": value}, **option}]}


def test_all_four_fields() -> None:
    level, problems = build(
        {
            **adding("X-A", "%PROTOCOL%", append_action="ADD_IF_ABSENT", keep_empty_value=True),
            "request_headers_to_remove": ["X-B"],
            "response_headers_to_add": [{"header": {"key": "x-c", "value": "c"}}],
            "response_headers_to_remove": ["x-d"],
        }
    )
    assert problems == []
    assert level == RuleLevel(
        HeaderRules((HeaderToAdd("x-a", "%PROTOCOL%", "ADD_IF_ABSENT", True),), ("x-b",)),
        HeaderRules((HeaderToAdd("x-c", "c"),), ("x-d",)),
    )


@pytest.mark.parametrize(
    ("append", "action"), [(True, "APPEND_IF_EXISTS_OR_ADD"), (False, "OVERWRITE_IF_EXISTS_OR_ADD")]
)
def test_the_old_append(append: bool, action: str) -> None:
    level, problems = build(adding("x", append=append))
    assert problems == []
    assert level.request.add == (HeaderToAdd("x", "v", action),)


@pytest.mark.parametrize(
    ("fields", "place", "text"),
    [
        (
            adding("Host"),
            "request_headers_to_add[0].header.key",
            ":-prefixed or host headers may not be modified",
        ),
        (
            adding(":path"),
            "request_headers_to_add[0].header.key",
            ":-prefixed or host headers may not be modified",
        ),
        (
            adding("a b"),
            "request_headers_to_add[0].header.key",
            "'a b' cannot be written as the name of a header",
        ),
        (
            adding("Content-Length"),
            "request_headers_to_add[0].header.key",
            "content-length frames the message, and no rule may set it",
        ),
        (adding("x", "%NOPE%"), "request_headers_to_add[0].header.value", "NOPE"),
        (
            adding("x", "50%"),
            "request_headers_to_add[0].header.value",
            "couldn't find valid command at position 2",
        ),
        (
            adding("x", append=True, append_action="ADD_IF_ABSENT"),
            "request_headers_to_add[0].append",
            "Both append and append_action are set and it's not allowed",
        ),
        (
            {"response_headers_to_remove": ["x", "Host"]},
            "response_headers_to_remove[1]",
            ":-prefixed or host headers may not be removed",
        ),
        (
            {"request_headers_to_add": [{"header": {"key": "x", "raw_value": "aGk="}}]},
            "request_headers_to_add[0].header.raw_value",
            "does not implement",
        ),
    ],
)
def test_refused(fields: dict[str, Any], place: str, text: str) -> None:
    _, problems = build(fields)
    assert [problem.path for problem in problems] == [place]
    assert text.lower() in problems[0].message.lower()
