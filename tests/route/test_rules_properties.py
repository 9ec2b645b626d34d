"""Header rules, rewrites and redirects on whatever a request or a configuration may hold."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import re2
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.header_rules import HeaderRules, HeaderToAdd, RuleLevel
from twistproxy.model.route import (
    ClusterAction,
    HostRewrite,
    RedirectAction,
    RegexRewrite,
    RouteMatch,
    RouteSettings,
)
from twistproxy.route.action import Route, compile_route
from twistproxy.route.header_rules import OuterRules
from twistproxy.route.substitution import Substitution
from twistproxy.testing.data_plane import DataPlane, manager, routes_to

#: What the codec lets through in targets, names and values.
_VISIBLE = st.integers(0x21, 0xFF).filter(lambda code: code != 0x7F)
PATHS = st.lists(_VISIBLE, max_size=20).map(lambda codes: b"/" + bytes(codes))
VALUES = st.lists(st.integers(0x20, 0xFF), max_size=12).map(bytes)
NAMES = st.sampled_from(
    (b"x-a", b"x-b", b"accept", b"cookie", b"via", b"x-forwarded-for", b"set-cookie", b"te")
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
#: What a configuration may hold: no CR, LF and NUL (validate.rules of the protos).
TEXTS = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs",)), max_size=12)

_OPERATORS = st.sampled_from(
    (
        "%REQ(x-a)%",
        "%REQ(:PATH)%",
        "%REQ(:AUTHORITY):3%",
        "%PATH(NQ)%",
        "%RESP(via)%",
        "%ROUTE_NAME%",
        "%%",
        "%QUERY_PARAM(a)%",
    )
)
FORMATS = st.lists(st.one_of(_OPERATORS, TEXTS.map(lambda text: text.replace("%", ""))), max_size=4).map(
    "".join
)
PATTERNS = st.sampled_from(
    (
        "a*",
        "^/([^/]*)",
        "(a)|(b)",
        ".",
        ".*",
        "",
        "$",
        "/$",
        r"\d+",
        "(?i)A(b?)",
        "[^a]",
        r"\bx",
        "^(/a)?/(.*)$",
        r"\C",
    )
)
REGEXES = st.builds(
    RegexRewrite, PATTERNS, st.one_of(TEXTS, st.sampled_from((r"/\1", r"\0\0", r"\9", "\\", r"\q", "")))
)

_ACTIONS = st.sampled_from(
    ("APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS")
)
RULES = st.builds(
    HeaderRules,
    st.lists(
        st.builds(HeaderToAdd, NAMES.map(bytes.decode), FORMATS, _ACTIONS, st.booleans()), max_size=5
    ).map(tuple),
    st.lists(NAMES.map(bytes.decode), max_size=2).map(tuple),
)
LEVELS = st.builds(RuleLevel, RULES, RULES)
MATCHES = st.one_of(
    st.builds(lambda text, case: RouteMatch(prefix="/" + text, case_sensitive=case), TEXTS, st.booleans()),
    st.builds(lambda text: RouteMatch(path="/" + text), TEXTS),
    st.just(RouteMatch(regex=".*")),
)


def head(path: bytes = b"/", headers: list[tuple[bytes, bytes]] | None = None) -> RequestHead:
    items = list(headers or [])
    return RequestHead(b"GET", path, b"a.test:80", items, dict(items))


def stream(request: RequestHead) -> Any:
    return SimpleNamespace(head=request, response=None, route=None, flags=0, details="")


def check_line(value: bytes) -> None:
    assert re.search(rb"[\r\n\0]", value) is None, value


@given(LEVELS, LEVELS, LEVELS, LEVELS, st.booleans(), HEADERS)
def test_header_rules(
    cluster: RuleLevel,
    route: RuleLevel,
    virtual_host: RuleLevel,
    everywhere: RuleLevel,
    inward: bool,
    headers: list[tuple[bytes, bytes]],
) -> None:
    outer = OuterRules(everywhere, virtual_host, inward)
    to_request, to_response = outer.compile(route, cluster, b"new")
    request = head(b"/?a=b", headers)
    answer = ResponseHead(200, list(headers))
    assert to_request is not None  # the host is set
    to_request.apply_to_request(request, stream(request))
    if to_response is not None:
        to_response.apply_to_response(answer, stream(request))
    for message in (request, answer):
        assert message.index == dict(message.items)
        for _, value in message.items:
            check_line(value)
    last = everywhere if not inward else route
    for name in last.request.remove:
        if all(rule.name != name for rule in last.request.add):
            assert name.encode() not in request


def forwarding(match: RouteMatch, **action: Any) -> Route:
    return compile_route(RouteSettings(match, ClusterAction("c", **action)), "v")


@given(
    MATCHES,
    st.one_of(
        st.builds(lambda text: {"prefix_rewrite": text}, TEXTS),
        st.builds(lambda regex: {"regex_rewrite": regex}, REGEXES),
        st.builds(lambda text: {"path_format": text}, FORMATS),
    ),
    PATHS,
    HEADERS,
)
def test_rewritten_paths(
    match: RouteMatch, rewrite: dict[str, Any], path: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    rewrites = forwarding(match, **rewrite).rewrites
    request = head(path, headers)
    if rewrites is not None:
        rewrites.apply(request, stream(request), True)
    assert request.path
    assert re.search(rb"[\0-\x20\x7f]", request.path) is None, request.path
    assert request.get(b"x-envoy-original-path") in (None, path)


@given(
    st.one_of(
        st.builds(lambda regex: HostRewrite(regex=regex), REGEXES),
        st.builds(lambda text: HostRewrite(format=text), FORMATS),
        st.just(HostRewrite(header="X-A")),
    ),
    st.booleans(),
    PATHS,
    HEADERS,
)
def test_rewritten_hosts(
    host: HostRewrite, forwarded: bool, path: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    rewrites = forwarding(RouteMatch(prefix="/"), host_rewrite=host, append_forwarded_host=forwarded).rewrites
    assert rewrites is not None or host == HostRewrite(format="")
    request = head(path, headers)
    if rewrites is not None:
        rewrites.apply(request, stream(request), True)
        rewrites.name_host(request, "host.test", True)
        assert request.authority == b"host.test"
        assert request.get(b"x-envoy-original-host")
    for _, value in request.items:
        check_line(value)


@given(
    MATCHES,
    st.builds(
        RedirectAction,
        st.just(301),
        TEXTS,
        TEXTS,
        TEXTS,
        st.one_of(st.none(), REGEXES),
        st.sampled_from(("", "https", "ftp")),
        st.booleans(),
        st.integers(0, 65535),
        st.booleans(),
    ),
    PATHS,
)
def test_redirects(match: RouteMatch, action: RedirectAction, path: bytes) -> None:
    redirect = compile_route(RouteSettings(match, action), "v").redirect
    assert redirect is not None
    location = redirect.location(head(path), None)
    assert re.search(rb"[\0-\x20\x7f]", location) is None, location
    assert b"://" in location


@given(PATTERNS, TEXTS, PATHS)
def test_substitution_is_that_of_re2(pattern: str, text: str, path: bytes) -> None:
    """Where no match is empty, Python's way to replace and RE2's are the same."""
    assume("\\" not in text)
    compiled = re2.compile(pattern.encode())
    assume(all(found.group(0) for found in compiled.finditer(path)))
    assert Substitution(pattern, text).apply(path) == compiled.sub(lambda found: text.encode(), path)


EVERYTHING = RouteSettings(
    RouteMatch(prefix="/"),
    ClusterAction(
        "app",
        path_format="%REQ(x-path)%",
        host_rewrite=HostRewrite(header="x-host"),
        append_forwarded_host=True,
    ),
    headers=RuleLevel(
        HeaderRules(
            (HeaderToAdd("x-copy", "%REQ(x-a)%%REQ(:PATH)%"), HeaderToAdd("accept", "%REQ(x-path)%")),
            ("x-b",),
        ),
        HeaderRules((HeaderToAdd("x-copy", "%REQ(x-host)%%RESP(x-up)%"),), ("x-up",)),
    ),
)
_WORDS = st.lists(
    st.sampled_from(
        (
            b"x-a: ",
            b"x-path: ",
            b"x-host: ",
            b"x-b: ",
            b"%",
            b"\\",
            b" ",
            b"\t",
            b"a",
            b"/",
            b"\r",
            b"\n",
            b"\0",
            b"\xff",
            b":",
        )
    ),
    max_size=6,
).map(b"".join)


@settings(deadline=None)
@given(PATHS, st.lists(_WORDS, max_size=4), _WORDS)
def test_what_goes_upstream_is_one_request(path: bytes, lines: list[bytes], answer: bytes) -> None:
    plane = DataPlane(manager(routes_to(EVERYTHING)))
    client = plane.client()
    client.receive(
        b"GET " + path + b" HTTP/1.1\r\nhost: a\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    )
    if plane.connector.attempts:
        sent = plane.upstream.take()
        request, end, rest = sent.partition(b"\r\n\r\n")
        assert end and rest == b""
        start, *fields = request.split(b"\r\n")
        assert len(start.split(b" ")) == 3
        assert all(re.fullmatch(rb"[!-9;-~]+: [^\r\n\0]*", field) for field in fields), fields
        plane.upstream.receive(b"HTTP/1.1 200 OK\r\nx-up: " + answer + b"\r\ncontent-length: 0\r\n\r\n")
    plane.finish()
