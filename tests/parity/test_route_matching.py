"""Which route is taken: path matchers, order, case, query strings, and nothing that matches."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, access_log, bootstrap, cluster, listener

pytestmark = pytest.mark.parity


def answer(name: str, **match: object) -> Config:
    """A route that answers with its own name."""
    return {
        "name": name,
        "match": match,
        "direct_response": {"status": 200, "body": {"inline_string": name}},
    }


ROUTES = [
    answer("first", prefix="/order"),
    answer("never", path="/order"),
    answer("exact", path="/exact"),
    answer("exact-insensitive", path="/Exact/Any", case_sensitive=False),
    answer("prefix-insensitive", prefix="/Prefix/Any", case_sensitive=False),
    answer("prefix-slash", prefix="/slash/"),
    answer("prefix", prefix="/pre"),
    answer("separated", path_separated_prefix="/sep"),
    answer("separated-insensitive", path_separated_prefix="/SEP2", case_sensitive=False),
    answer("regex", safe_regex={"regex": "/re/[0-9]+"}),
    answer("regex-anchored", safe_regex={"regex": "^/re2/.*x$"}),
    answer("regex-alternatives", safe_regex={"regex": "/one|/two/.+"}),
    answer("regex-flag", safe_regex={"regex": "(?i)/flag"}),
    answer("regex-dot", safe_regex={"regex": "/dot.end"}),
    answer("question", path="/ask?a=1"),
    answer("encoded", path="/enc%20oded"),
    answer("empty-prefix", prefix="/e/"),
]


def configure(proxy: Proxy) -> Config:
    log = access_log(
        proxy.log().path, "%REQ(:PATH)%|route=%ROUTE_NAME%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%\n"
    )
    hosts = [{"name": "all", "domains": ["*"], "routes": ROUTES}]
    main = listener("main", proxy.port(), hosts, access_log=[log])
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


CASES = [
    ("/order", "first"),
    ("/order/x", "first"),
    ("/ordering", "first"),
    ("/exact", "exact"),
    ("/exact?a=1", "exact"),
    ("/exact?", "exact"),
    ("/exact/", None),
    ("/exact;a", None),
    ("/Exact", None),
    ("/exactly", None),
    ("/EXACT/any", "exact-insensitive"),
    ("/exact/ANY?Q", "exact-insensitive"),
    ("/PREFIX/ANYthing", "prefix-insensitive"),
    ("/slash", None),
    ("/slash/", "prefix-slash"),
    ("/slash/x", "prefix-slash"),
    ("/slash?a=/slash/", None),
    ("/pre", "prefix"),
    ("/prefixed", "prefix"),
    ("/Pre", None),
    ("/pre?a", "prefix"),
    ("/pr?e", None),
    ("/sep", "separated"),
    ("/sep/", "separated"),
    ("/sep/x/y", "separated"),
    ("/sep?x", "separated"),
    ("/sepx", None),
    ("/sep;x", None),
    ("/sep2/X", "separated-insensitive"),
    ("/Sep2", "separated-insensitive"),
    ("/sep2x", None),
    ("/re/42", "regex"),
    ("/re/42?x", "regex"),
    ("/re/42/", None),
    ("/re/", None),
    ("/x/re/42", None),
    ("/re2/abcx", "regex-anchored"),
    ("/re2/abcy", None),
    ("/re2/abcx?y", "regex-anchored"),
    ("/one", "regex-alternatives"),
    ("/one/x", None),
    ("/two/x", "regex-alternatives"),
    ("/FLAG", "regex-flag"),
    ("/dot.end", "regex-dot"),
    ("/dotxend", "regex-dot"),
    ("/ask", None),
    ("/ask?a=1", None),
    ("/enc%20oded", "encoded"),
    ("/enc%20Oded", None),
    ("/%65xact", None),
    ("/./exact", None),
    ("//exact", None),
    ("/", None),
    ("/none", None),
    ("*", None),
]


@pytest.mark.parametrize(("target", "route"), CASES)
def test_route(proxy: Proxy, target: str, route: str | None) -> None:
    response = proxy.ask(target, method="OPTIONS" if target == "*" else "GET")
    if route is None:
        assert (response.status, response.text) == (404, "")
        assert response.normal == [("content-length", "0"), ("date", "DATE"), ("server", "SERVER")]
    else:
        assert (response.status, response.text) == (200, route)


def test_name_of_the_route_in_the_log(proxy: Proxy) -> None:
    proxy.ask("/exact?logged")
    assert proxy.log().line("/exact?logged") == "/exact?logged|route=exact|-|direct_response"


def test_no_route_in_the_log(proxy: Proxy) -> None:
    proxy.ask("/absent?logged")
    assert proxy.log().line("/absent?logged") == "/absent?logged|route=-|NR|route_not_found"


def test_no_route_with_a_body_closes(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("POST /absent HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        response = client.read()
        assert (response.status, response["connection"]) == (404, "close")
        assert client.ended()


def test_no_route_counts(proxy: Proxy) -> None:
    before = proxy.stat("http.main.no_route")
    proxy.ask("/absent")
    assert proxy.stat("http.main.no_route") == before + 1
