"""Routes chosen by headers: every form of HeaderMatcher, pseudo headers, several fields of one name, absent ones."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

#: Path → header matchers of its route.
MATCHERS: dict[str, list[Config]] = {
    "/exact": [{"name": "x-a", "string_match": {"exact": "b"}}],
    "/exact-any-case": [{"name": "X-A", "string_match": {"exact": "Bcd", "ignore_case": True}}],
    "/prefix": [{"name": "x-a", "string_match": {"prefix": "b"}}],
    "/prefix-any-case": [{"name": "x-a", "string_match": {"prefix": "B", "ignore_case": True}}],
    "/suffix": [{"name": "x-a", "string_match": {"suffix": "b"}}],
    "/suffix-any-case": [{"name": "x-a", "string_match": {"suffix": "B", "ignore_case": True}}],
    "/contains": [{"name": "x-a", "string_match": {"contains": "bc"}}],
    "/contains-any-case": [{"name": "x-a", "string_match": {"contains": "BC", "ignore_case": True}}],
    "/regex": [{"name": "x-a", "string_match": {"safe_regex": {"regex": "b+"}}}],
    "/empty-exact": [{"name": "x-a", "string_match": {"exact": ""}}],
    "/old-exact": [{"name": "x-a", "exact_match": "b"}],
    "/old-exact-empty": [{"name": "x-a", "exact_match": ""}],
    "/old-exact-empty-not": [{"name": "x-a", "exact_match": "", "invert_match": True}],
    "/old-prefix": [{"name": "x-a", "prefix_match": "b"}],
    "/old-suffix": [{"name": "x-a", "suffix_match": "b"}],
    "/old-contains": [{"name": "x-a", "contains_match": "bc"}],
    "/old-regex": [{"name": "x-a", "safe_regex_match": {"regex": "b+"}}],
    "/range": [{"name": "x-a", "range_match": {"start": -10, "end": 10}}],
    "/range-not": [{"name": "x-a", "range_match": {"start": 0, "end": 10}, "invert_match": True}],
    "/range-wide": [
        {"name": "x-a", "range_match": {"start": "-9223372036854775808", "end": "9223372036854775807"}}
    ],
    "/range-missing": [
        {"name": "x-a", "range_match": {"start": 0, "end": 10}, "treat_missing_header_as_empty": True}
    ],
    "/present": [{"name": "x-a", "present_match": True}],
    "/absent": [{"name": "x-a", "present_match": False}],
    "/present-not": [{"name": "x-a", "present_match": True, "invert_match": True}],
    "/absent-not": [{"name": "x-a", "present_match": False, "invert_match": True}],
    "/nothing": [{"name": "x-a"}],
    "/nothing-not": [{"name": "x-a", "invert_match": True}],
    "/present-missing": [{"name": "x-a", "present_match": True, "treat_missing_header_as_empty": True}],
    "/absent-missing": [{"name": "x-a", "present_match": False, "treat_missing_header_as_empty": True}],
    "/not": [{"name": "x-a", "string_match": {"exact": "b"}, "invert_match": True}],
    "/missing": [{"name": "x-a", "string_match": {"exact": ""}, "treat_missing_header_as_empty": True}],
    "/missing-not": [
        {
            "name": "x-a",
            "string_match": {"exact": "b"},
            "invert_match": True,
            "treat_missing_header_as_empty": True,
        }
    ],
    "/joined": [{"name": "x-a", "string_match": {"exact": "b,c"}}],
    "/joined-agent": [{"name": "user-agent", "string_match": {"exact": "b,c"}}],
    "/both": [{"name": "x-a", "present_match": True}, {"name": "x-b", "present_match": True}],
    "/method": [{"name": ":method", "string_match": {"exact": "PUT"}}],
    "/authority": [{"name": ":authority", "string_match": {"exact": "A.test:80"}}],
    "/host": [{"name": "host", "string_match": {"exact": "A.test:80"}}],
    "/scheme": [{"name": ":scheme", "string_match": {"exact": "http"}}],
    "/path": [{"name": ":path", "string_match": {"suffix": "?q=1"}}],
    "/protocol": [{"name": ":protocol", "present_match": True}],
    "/forwarded": [{"name": "x-forwarded-proto", "string_match": {"exact": "http"}}],
    "/request-id": [{"name": "x-request-id", "present_match": True}],
    "/connection": [{"name": "connection", "present_match": True}],
    "/length": [{"name": "content-length", "range_match": {"start": 0, "end": 1}}],
    "/cookie": [{"name": "cookie", "string_match": {"contains": "b=2"}}],
}


def configure(proxy: Proxy) -> Config:
    routes = [
        {
            "match": {"path": path, "headers": headers},
            "direct_response": {"status": 200, "body": {"inline_string": "yes"}},
        }
        for path, headers in MATCHERS.items()
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(
        proxy.port("admin"), [listener("main", proxy.port(), hosts)], [cluster("app", proxy.origin().port)]
    )


#: Path, then header lines that match (True) or do not.
CASES: list[tuple[str, bool, list[str]]] = [
    ("/exact", True, ["x-a: b", "X-A:   b  "]),
    ("/exact", False, ["", "x-a: B", "x-a: bb", "x-a:", "x-a: c|x-a: d", "x-b: b"]),
    ("/exact", True, ["x-a: b|x-a: b", "x-a: b|x-a: c", "x-a: c|x-a: b", "x-a: c|x-b: 1|x-a: b"]),
    ("/exact-any-case", True, ["x-a: bcd", "x-a: BCD"]),
    ("/exact-any-case", False, ["x-a: bc", ""]),
    ("/prefix", True, ["x-a: b", "x-a: bcd", "x-a: b|x-a: a", "x-a: a|x-a: b"]),
    ("/prefix", False, ["x-a: cb", "x-a: Bc", ""]),
    ("/prefix-any-case", True, ["x-a: b", "x-a: Bcd"]),
    ("/suffix", True, ["x-a: b", "x-a: ab", "x-a: a|x-a: b", "x-a: b|x-a: a"]),
    ("/suffix", False, ["x-a: ba", "x-a: aB"]),
    ("/suffix-any-case", True, ["x-a: b", "x-a: aB"]),
    ("/contains", True, ["x-a: bc", "x-a: abcd"]),
    ("/contains", False, ["x-a: b", "x-a: aBCd", "x-a: b|x-a: c", ""]),
    ("/contains-any-case", True, ["x-a: bc", "x-a: aBCd"]),
    ("/regex", True, ["x-a: b", "x-a: bbb", "x-a: b|x-a: b", "x-a: a|x-a: b"]),
    ("/regex", False, ["x-a: bc", "x-a: ab", "x-a: B", ""]),
    ("/empty-exact", True, ["x-a:"]),
    ("/empty-exact", False, ["", "x-a: b"]),
    ("/old-exact", True, ["x-a: b"]),
    ("/old-exact", False, ["x-a: B", ""]),
    ("/old-exact-empty", True, ["x-a:", "x-a: b"]),
    ("/old-exact-empty", False, [""]),
    ("/old-exact-empty-not", False, ["x-a:", "x-a: b", ""]),
    ("/old-prefix", True, ["x-a: bc"]),
    ("/old-prefix", False, ["x-a: cb"]),
    ("/old-suffix", True, ["x-a: cb"]),
    ("/old-suffix", False, ["x-a: bc"]),
    ("/old-contains", True, ["x-a: abcd"]),
    ("/old-contains", False, ["x-a: acbd"]),
    ("/old-regex", True, ["x-a: bb"]),
    ("/old-regex", False, ["x-a: bbc"]),
    ("/range", True, ["x-a: -10", "x-a: 9", "x-a: 0", "x-a: +5", "x-a: 007", "x-a: -0"]),
    (
        "/range",
        False,
        ["x-a: 10", "x-a: -11", "x-a: 1.5", "x-a:", "x-a: 5x", "x-a: 1_0", "x-a: 0x1", "x-a: - 1", ""],
    ),
    ("/range", True, ["x-a: 1|x-a: 1", "x-a: 11|x-a: 1"]),
    ("/range", False, ["x-a: 11|x-a: 12"]),
    ("/range-not", True, ["x-a: 10", "x-a: x", "x-a: -1"]),
    ("/range-not", False, ["x-a: 9", ""]),
    (
        "/range-wide",
        True,
        ["x-a: 9223372036854775806", "x-a: -9223372036854775808", "x-a: 00000000000000000000001"],
    ),
    ("/range-wide", False, ["x-a: 9223372036854775807", "x-a: -9223372036854775809"]),
    ("/range-missing", False, ["", "x-a:"]),
    ("/present", True, ["x-a: b", "x-a:"]),
    ("/present", False, ["", "x-b: x-a"]),
    ("/absent", True, [""]),
    ("/absent", False, ["x-a:", "x-a: b"]),
    ("/present-not", True, [""]),
    ("/present-not", False, ["x-a:", "x-a: b"]),
    ("/absent-not", True, ["x-a: b"]),
    ("/absent-not", False, [""]),
    ("/nothing", True, ["x-a: b", "x-a:"]),
    ("/nothing", False, [""]),
    ("/nothing-not", True, [""]),
    ("/nothing-not", False, ["x-a: b"]),
    ("/present-missing", True, ["x-a: b", ""]),
    ("/absent-missing", True, []),
    ("/absent-missing", False, ["x-a: b", ""]),
    ("/not", True, ["x-a: c", "x-a:", "x-a: c|x-a: d", "x-a: b, c"]),
    ("/not", False, ["x-a: b", "", "x-a: b|x-a: c", "x-a: c|x-a: b"]),
    ("/missing", True, ["", "x-a:"]),
    ("/missing", False, ["x-a: b"]),
    ("/missing-not", True, ["", "x-a: c"]),
    ("/missing-not", False, ["x-a: b"]),
    ("/joined", True, ["x-a: b,c"]),
    ("/joined", False, ["x-a: b|x-a: c"]),
    ("/joined-agent", True, ["user-agent: b|user-agent: c"]),
    ("/both", True, ["x-a: 1|x-b: 2"]),
    ("/both", False, ["x-a: 1", "x-b: 2", ""]),
    ("/protocol", False, [""]),
    ("/forwarded", True, [""]),
    ("/request-id", True, [""]),
    ("/connection", False, ["connection: keep-alive"]),
    ("/length", True, ["content-length: 0"]),
    ("/length", False, [""]),
    ("/cookie", True, ["cookie: a=1; b=2", "cookie: a=1|cookie: b=2"]),
    ("/cookie", False, ["cookie: a=1"]),
]


@pytest.mark.parametrize(("path", "expected"), [(path, expected) for path, expected, _ in CASES])
def test_header(proxy: Proxy, path: str, expected: bool) -> None:
    wanted = 200 if expected else 404
    lines = [line for one, which, cases in CASES if (one, which) == (path, expected) for line in cases]
    found = {
        line: proxy.ask(path, headers="".join(f"{one}\r\n" for one in line.split("|") if one)).status
        for line in lines
    }
    assert found == dict.fromkeys(lines, wanted)


@pytest.mark.parametrize(
    ("target", "request_with", "status"),
    [
        ("/method", {"method": "PUT"}, 200),
        ("/method", {"method": "GET"}, 404),
        ("/authority", {"host": "A.test:80"}, 200),
        ("/authority", {"host": "a.test:80"}, 404),
        ("/host", {"host": "A.test:80"}, 200),
        ("/host", {"host": "b.test"}, 404),
        ("/scheme", {}, 200),
        ("/path?q=1", {}, 200),
        ("/path?q=12", {}, 404),
    ],
)
def test_pseudo_header(proxy: Proxy, target: str, request_with: Config, status: int) -> None:
    assert proxy.ask(target, **request_with).status == status
