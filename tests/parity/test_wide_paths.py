"""Paths made uniform, refused or redirected: what the client, the upstream, the log and the statistics see."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .settings import Config, access_log, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity
FORMAT = "%REQ(:PATH)%\t%RESPONSE_CODE%\t%RESPONSE_CODE_DETAILS%\t%RESPONSE_FLAGS%\n"
OPTIONS: dict[str, Config] = {
    "main": {},
    "normal": {"normalize_path": True},
    "merged": {"merge_slashes": True},
    "kept": {"path_with_escaped_slashes_action": "KEEP_UNCHANGED"},
    "rejected": {"path_with_escaped_slashes_action": "REJECT_REQUEST"},
    "redirected": {
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "normalize_path": True,
        "merge_slashes": True,
    },
    "forwarded": {"path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"},
}


def configure(proxy: Proxy) -> Config:
    log = [access_log(proxy.log().path, FORMAT)]
    listeners = [
        listener(name, proxy.port(name), routes_to("app"), access_log=log, **fields)
        for name, fields in OPTIONS.items()
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


@pytest.mark.parametrize(
    ("name", "path", "arrived"),
    [
        ("main", "/a/../%2e//%2f?n1", "/a/../%2e//%2f?n1"),
        ("normal", "/a/../%7euser/%2e//%2f?n2=/../", "/~user//%2f?n2=/../"),
        ("merged", "//a///b//?n3=//", "/a/b/?n3=//"),
        ("kept", "/a%2fb?n4", "/a%2fb?n4"),
        ("rejected", "/a%20b?n5=%2f", "/a%20b?n5=%2f"),
        ("redirected", "/a//b/../c?n6=%2f", "/a/c?n6=%2f"),
        ("forwarded", "/a%2Fb%5cc?n7=%2f", "/a/b\\c?n7=%2f"),
    ],
)
def test_arrives(proxy: Proxy, name: str, path: str, arrived: str) -> None:
    assert proxy.ask(path, name).status == 200
    assert proxy.origin().take().target == arrived
    # Headers of the request are logged as they are at its end, the path too.
    assert proxy.log().line(path.partition("?")[2]).split("\t")[0] == arrived


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("normal", "/a%00?r1"),
        ("rejected", "/a%2fb?r2"),
        ("rejected", "/%5C?r3"),
        ("main", "/a?r4#b"),
        ("main", "http://a/b?r5#c"),
    ],
)
def test_refused(proxy: Proxy, name: str, path: str) -> None:
    before = proxy.stat(f"http.{name}.downstream_rq_failed_path_normalization")
    with proxy.client(name) as client:
        response = client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert (response.status, response.text, response["connection"]) == (400, "", "close")
        assert client.ended()
    word = path[path.index("?") : path.index("?") + 3]
    assert proxy.log().line(word).split("\t")[1:] == ["400", "path_normalization_failed", "-"]
    assert proxy.stat(f"http.{name}.downstream_rq_failed_path_normalization") == before + 1


def test_redirected(proxy: Proxy) -> None:
    with proxy.client("redirected") as client:
        for _ in range(2):
            client.send("GET /a%2f%2Fb/..%5cc?d1=%2f HTTP/1.1\r\nhost: a\r\n\r\n")
            response = client.read()
            assert (response.status, response.reason, response.text) == (307, "Temporary Redirect", "")
            assert (response["location"], response["connection"]) == ("/a/c?d1=%2f", None)
    assert proxy.stat("http.redirected.downstream_rq_redirected_with_normalized_path") == 2
    assert proxy.stat("http.redirected.downstream_rq_failed_path_normalization") == 0


def test_redirect_is_logged_as_what_it_is(proxy: Proxy) -> None:
    proxy.ask("/a%2fb?d2", "redirected")
    assert proxy.log().line("d2").split("\t") == ["/a/b?d2", "307", "path_normalization_failed", "-"]


def test_grpc_is_not_redirected(proxy: Proxy) -> None:
    """What the answer to it looks like is a matter of local replies."""
    response = proxy.ask("/a%2fb?d3", "redirected", headers="content-type: application/grpc\r\n")
    assert response["location"] is None
    assert proxy.stat("http.redirected.downstream_rq_failed_path_normalization") == 1


@pytest.mark.parametrize("target", ["http://b?a1", "*"])
def test_no_path(proxy: Proxy, target: str) -> None:
    method = "OPTIONS" if target == "*" else "GET"
    with proxy.client() as client:
        for _ in range(2):
            client.send(f"{method} {target} HTTP/1.1\r\nhost: a\r\n\r\n")
            response = client.read()
            assert (response.status, response.text, response["connection"]) == (404, "", None)
    if target != "*":
        wait_for(lambda: len([line for line in proxy.log().lines() if "?a1" in line]) == 2)
        lines = [line.split("\t") for line in proxy.log().lines() if "?a1" in line]
        assert [line[1:] for line in lines] == [["404", "absolute_path_rejected", "-"]] * 2


def test_no_path_is_counted(proxy: Proxy) -> None:
    before = proxy.stat("http.main.downstream_rq_non_relative_path")
    proxy.ask("http://b?a2")
    assert proxy.stat("http.main.downstream_rq_non_relative_path") == before + 1


def test_interim_response_comes_first(proxy: Proxy) -> None:
    """Before a refusal, too."""
    with proxy.client() as client:
        client.send("POST /a#b HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert (client.read().status, client.read().status) == (100, 400)
