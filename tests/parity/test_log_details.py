"""What access logs say of requests that are none, and of those that end before they are answered."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .origin import silent
from .settings import Config, access_log, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: "/over"}, route: {cluster: over}}
  - {match: {prefix: "/hang"}, route: {cluster: hanging, timeout: 0.05s}}
  - {match: {prefix: "/left"}, route: {cluster: hanging}}
  - {name: up, match: {prefix: "/up"}, route: {cluster: app}}
"""
FORMAT = (
    "id=%REQ(:PATH)%\tmethod=%REQ(:METHOD)%\thost=%REQ(:AUTHORITY)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%"
    "\tdetails=%RESPONSE_CODE_DETAILS%\tupstream=%UPSTREAM_HOST%\tremote=%UPSTREAM_REMOTE_ADDRESS%"
    "\tcluster=%UPSTREAM_CLUSTER%\tattempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT%\troute=%ROUTE_NAME%"
    "\tgot=%BYTES_RECEIVED%\tsent=%BYTES_SENT%\twhole=%REQUEST_DURATION%\tprotocol=%PROTOCOL%\n"
)


def configure(proxy: Proxy) -> Config:
    log = access_log(proxy.log().path, FORMAT)
    main = listener("main", proxy.port(), VIRTUAL_HOSTS, access_log=[log], request_timeout="0.3s")
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("over", 1, circuit_breakers={"thresholds": [{"max_pending_requests": 0}]}),
        cluster("hanging", proxy.full_port()),
    ]
    return bootstrap(proxy.port("admin"), [main], clusters)


HOST = "\r\nhost: a\r\n\r\n"
CHARACTERS = "http1.invalid_characters"
#: What is sent, and the details of its answer.
REFUSED_HEADS = {
    f"GET /x HTTP/1.1\r\nx: a\x01b{HOST}": CHARACTERS,
    f"GET /x HTTP/1.1\r\nx: a\x00b{HOST}": CHARACTERS,
    f"GET /x HTTP/1.1\r\nx: a\x7fb{HOST}": CHARACTERS,
    f"GET /x HTTP/1.1\r\nx\x01y: b{HOST}": CHARACTERS,
    f"GET /x\x01 HTTP/1.1{HOST}": CHARACTERS,
    f"G\x01T /x HTTP/1.1{HOST}": CHARACTERS,
    f"GET /x\x80 HTTP/1.1{HOST}": "http1.codec_error",
    f"GET /x HTTP/1.1\r\nx y: b{HOST}": "http1.codec_error",
    f"FOO /x HTTP/1.1{HOST}": "http1.codec_error",
    f"GET ftp://a/ HTTP/1.1{HOST}": "http1.invalid_scheme",
    f"GET a+b.c://a/ HTTP/1.1{HOST}": "http1.invalid_scheme",
    f"GET ://a/ HTTP/1.1{HOST}": "http1.codec_error",
    f"GET http:// HTTP/1.1{HOST}": "http1.invalid_url",
    f"GET *x HTTP/1.1{HOST}": "http1.invalid_url",
    f"GET x HTTP/1.1{HOST}": "http1.codec_error",
}


@pytest.mark.parametrize("head", REFUSED_HEADS, ids=ascii)
def test_a_head_that_is_none(proxy: Proxy, head: str) -> None:
    before = len(proxy.log().lines())
    with proxy.client() as client:
        assert client.send(head.encode("latin-1")).read().status == 400
    line = wait_for(lambda: proxy.log().lines()[before:])[0]
    fields = dict(part.split("=", 1) for part in line.split("\t"))
    assert (fields["code"], fields["flags"], fields["details"]) == ("400", "DPE", REFUSED_HEADS[head])
    assert (fields["id"], fields["method"], fields["host"]) == ("-", "-", "-")
    assert (fields["whole"], fields["protocol"], fields["attempts"]) == ("-", "HTTP/1.1", "0")


def test_no_host(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.send("GET /nohost HTTP/1.1\r\n\r\n").read().status == 400
    line = proxy.log().fields("/nohost\t")
    assert (line["host"], line["flags"], line["details"]) == ("-", "-", "missing_host_header")


def test_no_room(proxy: Proxy) -> None:
    proxy.ask("/over")
    line = proxy.log().fields("/over\t")
    assert (line["flags"], line["upstream"], line["attempts"]) == ("UO", "-", "1")


def test_timeout_while_connecting(proxy: Proxy) -> None:
    assert proxy.ask("/hang").status == 504
    line = proxy.log().fields("/hang\t")
    assert (line["flags"], line["details"], line["cluster"]) == ("UT", "response_timeout", "hanging")
    assert line["upstream"].startswith("127.0.0.1:") and line["remote"] == "-"


def test_client_leaves_while_connecting(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("GET /left HTTP/1.1\r\nhost: a\r\n\r\n")
        assert proxy.stat_becomes("cluster.hanging.upstream_rq_pending_active", 1)
    line = proxy.log().fields("/left\t")
    assert (line["code"], line["flags"]) == ("0", "DC")
    assert line["upstream"].startswith("127.0.0.1:") and line["remote"] == "-"


def test_client_leaves_in_the_middle_of_its_request(proxy: Proxy) -> None:
    proxy.origin().on("/up", silent())
    with proxy.client() as client:
        client.send("POST /up?half HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab")
        assert proxy.stat_becomes("cluster.app.upstream_rq_active", 1)
    line = proxy.log().fields("/up?half\t")
    assert (line["code"], line["flags"], line["details"]) == ("0", "DC", "downstream_remote_disconnect")
    assert (line["got"], line["sent"], line["whole"], line["route"]) == ("2", "0", "-", "up")
    assert line["remote"] == proxy.origin().address


def test_request_that_does_not_end(proxy: Proxy) -> None:
    proxy.origin().on("/up", silent())
    with proxy.client() as client:
        client.send("POST /up?late HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab")
        assert client.read().status == 408
    line = proxy.log().fields("/up?late\t")
    assert (line["code"], line["flags"], line["details"]) == ("408", "-", "request_overall_timeout")
