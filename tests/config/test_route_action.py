"""Route actions: what is refused of rewrites, redirects and direct responses, and where."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.route.v3 import route_pb2
from google.protobuf import json_format

from twistproxy.config.fields import Reader, Report
from twistproxy.config.routes import build_routes
from twistproxy.model.route import DirectResponse, HostRewrite, RegexRewrite, RouteSettings

REGEX = {"pattern": {"regex": "a(b)"}, "substitution": "\\1"}
ONE = "virtual_hosts[0].routes[0]"


def build(route: dict[str, Any], **outer: Any) -> tuple[RouteSettings, list[tuple[str, str]]]:
    route.setdefault("match", {"prefix": "/"})
    routes = {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}], **outer}
    report = Report()
    reader = Reader(json_format.ParseDict(routes, route_pb2.RouteConfiguration()), report)
    built = build_routes(reader, {"app"}).virtual_hosts[0].routes[0]
    return built, [(each.path, each.message) for each in report.problems + report.unread(reader)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"host_rewrite_literal": "a"}, HostRewrite(literal="a")),
        ({"host_rewrite_literal": ""}, None),
        ({"host_rewrite_header": "a"}, HostRewrite(header="a")),
        ({"host_rewrite_path_regex": REGEX}, HostRewrite(regex=RegexRewrite("a(b)", "\\1"))),
        ({"host_rewrite": "%REQ(a)%"}, HostRewrite(format="%REQ(a)%")),
        ({"auto_host_rewrite": True}, HostRewrite(auto=True)),
        ({"auto_host_rewrite": False}, None),
    ],
)
def test_host_rewrites(fields: dict[str, Any], expected: HostRewrite | None) -> None:
    route, problems = build({"route": {"cluster": "app", **fields}})
    assert problems == []
    assert route.action.host_rewrite == expected  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("route", "place", "text"),
    [
        (
            {"route": {"cluster": "app", "prefix_rewrite": "/a", "path_rewrite": "/b"}},
            "route",
            "Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy",
        ),
        ({"route": {"cluster": "app", "path_rewrite": "%NOPE%"}}, "route.path_rewrite", "NOPE"),
        (
            {"route": {"cluster": "app", "host_rewrite": "%"}},
            "route.host_rewrite",
            "Couldn't find valid command",
        ),
        (
            {"route": {"cluster": "app", "regex_rewrite": {"pattern": {"regex": "("}}}},
            "route.regex_rewrite.pattern.regex",
            "missing )",
        ),
        (
            {"direct_response": {"status": 200, "body": {"inline_string": "x" * 11}}},
            "direct_response.body",
            "response body size is 11 bytes; maximum is 10",
        ),
        (
            {"direct_response": {"status": 200, "body": {"filename": "/does/not/exist"}}},
            "direct_response.body.filename",
            "/does/not/exist",
        ),
        (
            {"direct_response": {"status": 200, "body": {"filename": "/dev/zero"}}},
            "direct_response.body.filename",
            "Invalid path: /dev/zero",
        ),
    ],
)
def test_refused(route: dict[str, Any], place: str, text: str) -> None:
    _, problems = build(route, max_direct_response_body_size_bytes=10)
    assert [path for path, _ in problems] == [f"{ONE}.{place}"]
    assert text in problems[0][1]


def test_bodies_of_direct_responses() -> None:
    for body, expected in (({"inline_string": "ä"}, "ä".encode()), ({"inline_bytes": "AAE="}, b"\0\1")):
        route, problems = build({"direct_response": {"status": 404, "body": body}})
        assert problems == []
        assert route.action == DirectResponse(404, expected)


def test_decorator_is_taken() -> None:
    _, problems = build({"route": {"cluster": "app"}, "decorator": {"operation": "o", "propagate": False}})
    assert problems == []
