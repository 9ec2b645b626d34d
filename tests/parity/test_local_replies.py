"""Answers that the router gives itself: timeouts, no host, no cluster, failed connections."""

from __future__ import annotations

import time

import pytest

from .harness import Proxy
from .origin import Exchange, raw, silent
from .settings import Config, access_log, bootstrap, cluster, listener
from .wire import Ended, Headers

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: "/timeout"}, route: {cluster: app, timeout: 0.2s}}
  - {match: {prefix: "/no-timeout"}, route: {cluster: app, timeout: 0s}}
  - {match: {prefix: "/two-seconds"}, route: {cluster: app, timeout: 2s}}
  - {match: {prefix: "/nc-default"}, route: {cluster: absent}}
  - {match: {prefix: "/nc-404"}, route: {cluster: absent, cluster_not_found_response_code: NOT_FOUND}}
  - match: {prefix: "/nc-500"}
    route: {cluster: absent, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}
  - match: {prefix: "/nc-503"}
    route: {cluster: absent, cluster_not_found_response_code: SERVICE_UNAVAILABLE}
  - {match: {prefix: "/uh"}, route: {cluster: empty}}
  - {match: {prefix: "/zero"}, route: {cluster: nobody}}
  - {match: {prefix: "/uf"}, route: {cluster: refusing}}
  - {match: {prefix: "/ct-and-timeout"}, route: {cluster: hanging, timeout: 0.1s}}
  - {match: {prefix: "/ct"}, route: {cluster: hanging}}
  - {match: {prefix: "/"}, route: {cluster: app}}
"""
FORMAT = (
    "id=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%"
    "\thost=%UPSTREAM_HOST%\tcluster=%UPSTREAM_CLUSTER%\tfailure=%UPSTREAM_TRANSPORT_FAILURE_REASON%"
    "\tsent=%BYTES_SENT%\n"
)


def configure(proxy: Proxy) -> Config:
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("empty"),
        {"name": "nobody", "type": "STATIC", "connect_timeout": "1s"},
        cluster("refusing", proxy.port("nobody")),
        cluster("hanging", proxy.full_port(), connect_timeout="0.25s"),
    ]
    log = access_log(proxy.log().path, FORMAT)
    main = listener(
        "main", proxy.port(), VIRTUAL_HOSTS, access_log=[log], route_config={"validate_clusters": False}
    )
    return bootstrap(proxy.port("admin"), [main], clusters)


def logged(proxy: Proxy, word: str) -> dict[str, str]:
    return proxy.log().fields(f"{word}\t")


def own(body: str) -> Headers:
    return [
        ("content-length", str(len(body))),
        ("content-type", "text/plain"),
        ("date", "DATE"),
        ("server", "SERVER"),
    ]


def test_route_timeout(proxy: Proxy) -> None:
    proxy.origin().on("/timeout", silent())
    with proxy.client() as client:
        started = time.monotonic()
        response = client.send("GET /timeout?t1 HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert time.monotonic() - started >= 0.15
        assert (response.status, response.text) == (504, "upstream request timeout")
        assert response.normal == own(response.text)
        assert client.still_open()
    seen = proxy.origin().take()
    assert seen.connection_closed()
    assert seen["x-envoy-expected-rq-timeout-ms"] == "200"
    line = logged(proxy, "?t1")
    assert (line["code"], line["flags"], line["details"]) == ("504", "UT", "response_timeout")
    assert line["host"] == proxy.origin().address
    assert proxy.stat("cluster.app.upstream_rq_timeout") == 1


def test_route_timeout_starts_when_the_request_is_whole(proxy: Proxy) -> None:
    proxy.origin().on("/timeout", raw(0.1, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    with proxy.client() as client:
        client.send("POST /timeout HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na")
        time.sleep(0.3)
        assert client.send("b").read().status == 200


def test_route_timeout_within_the_body_cuts_the_answer(proxy: Proxy) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        exchange.wait_closed(5.0)

    proxy.origin().on("/timeout", stall)
    with proxy.client() as client:
        client.send("GET /timeout?cut HTTP/1.1\r\nhost: a\r\n\r\n")
        with pytest.raises(Ended):
            client.read()
    line = logged(proxy, "?cut")
    assert (line["code"], line["flags"], line["details"]) == ("200", "UT", "response_timeout")


@pytest.mark.parametrize(
    ("path", "sent"), [("/no-timeout", None), ("/two-seconds", "2000"), ("/anything", "15000")]
)
def test_expected_timeout(proxy: Proxy, path: str, sent: str | None) -> None:
    proxy.ask(path)
    assert proxy.origin().take()["x-envoy-expected-rq-timeout-ms"] == sent


@pytest.mark.parametrize(
    ("path", "status"), [("/nc-default", 503), ("/nc-404", 404), ("/nc-500", 500), ("/nc-503", 503)]
)
def test_unknown_cluster(proxy: Proxy, path: str, status: int) -> None:
    response = proxy.ask(f"{path}?nc")
    assert (response.status, response.text) == (status, "")
    assert response.normal == [("content-length", "0"), ("date", "DATE"), ("server", "SERVER")]
    line = logged(proxy, f"{path}?nc")
    assert (line["flags"], line["details"], line["host"]) == ("NC", "cluster_not_found", "-")
    assert line["cluster"] == "-"


@pytest.mark.parametrize("path", ["/uh", "/zero"])
def test_no_host(proxy: Proxy, path: str) -> None:
    response = proxy.ask(f"{path}?uh")
    assert (response.status, response.text) == (503, "no healthy upstream")
    assert response.normal == own(response.text)
    line = logged(proxy, f"{path}?uh")
    assert (line["code"], line["flags"], line["host"]) == ("503", "UH", "-")
    assert line["details"] == "no_healthy_upstream"
    assert line["sent"] == "19"


def test_no_host_to_head(proxy: Proxy) -> None:
    response = proxy.ask("/uh", method="HEAD")
    assert (response.status, response["content-length"]) == (503, "19")


def test_no_host_counts(proxy: Proxy) -> None:
    before = proxy.stat("cluster.empty.upstream_cx_none_healthy")
    proxy.ask("/uh")
    assert proxy.stat("cluster.empty.upstream_cx_none_healthy") == before + 1


NOBODY_THERE = (
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
)


def test_refused_connection(proxy: Proxy) -> None:
    response = proxy.ask("/uf?refused")
    assert (response.status, response.text) == (503, NOBODY_THERE)
    assert response.normal == own(response.text)
    line = logged(proxy, "?refused")
    assert (line["code"], line["flags"]) == ("503", "UF")
    assert line["details"] == (
        "upstream_reset_before_response_started{remote_connection_failure|"
        "delayed_connect_error:_Connection_refused}"
    )
    assert line["failure"] == "delayed_connect_error:_Connection_refused"
    assert (line["host"], line["cluster"]) == (f"127.0.0.1:{proxy.port('nobody')}", "refusing")


def test_refused_connection_counts(proxy: Proxy) -> None:
    names = "^cluster.refusing.upstream_(cx_connect_fail|cx_total|rq_5|rq_total|rq_pending_failure)"
    before = proxy.stats(names)
    proxy.ask("/uf")
    after = proxy.stats(names)
    grown = {name.rsplit(".", 1)[1]: after[name] - before.get(name, 0) for name in after}
    assert grown == {
        "upstream_cx_connect_fail": 1,
        "upstream_cx_total": 1,
        "upstream_rq_503": 1,
        "upstream_rq_5xx": 1,
        "upstream_rq_pending_failure_eject": 1,
        "upstream_rq_total": 0,
    }


def test_connect_timeout(proxy: Proxy) -> None:
    response = proxy.ask("/ct?slow")
    body = "upstream connect error or disconnect/reset before headers. reset reason: connection timeout"
    assert (response.status, response.text) == (503, body)
    line = logged(proxy, "?slow")
    assert (line["code"], line["flags"]) == ("503", "UF")
    assert line["details"] == "upstream_reset_before_response_started{connection_timeout}"
    assert proxy.stat("cluster.hanging.upstream_cx_connect_timeout") >= 1


def test_route_timeout_before_connected(proxy: Proxy) -> None:
    response = proxy.ask("/ct-and-timeout?both")
    assert (response.status, response.text) == (504, "upstream request timeout")
    line = logged(proxy, "?both")
    assert (line["code"], line["flags"], line["details"]) == ("504", "UT", "response_timeout")
    assert line["failure"] == "-"


def test_local_reply_before_the_whole_body_closes(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("POST /uh HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        response = client.read()
        assert (response.status, response["connection"]) == (503, "close")
        assert client.ended()


def test_local_reply_keeps_the_connection(proxy: Proxy) -> None:
    with proxy.client() as client:
        for path in ("/uh", "/nc-404", "/uf", "/x"):
            response = client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").read()
            assert response["connection"] is None
        assert client.still_open()
