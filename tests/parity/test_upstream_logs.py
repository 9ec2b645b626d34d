"""`upstream_log` of the router: a line for each attempt at an upstream, and earlier ones where they are asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .origin import raw, silent
from .settings import ROUTER, Config, bootstrap, cluster, json_log, listener, protocol_options

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  virtual_clusters: [{name: each, headers: [{name: ":method", string_match: {exact: GET}}]}]
  response_headers_to_add: [{header: {key: x-added, value: "1"}}]
  request_headers_to_add: [{header: {key: x-added, value: "2"}}]
  routes:
  - {match: {prefix: "/direct"}, direct_response: {status: 299, body: {inline_string: "direct!"}}}
  - match: {prefix: "/again"}
    name: again
    route:
      cluster: app
      retry_policy: {retry_on: 5xx, num_retries: 2, retry_back_off: {base_interval: 0.001s}}
  - {match: {prefix: "/dead"}, route: {cluster: dead}}
  - {match: {prefix: "/nobody"}, route: {cluster: empty}}
  - match: {prefix: "/try"}
    route: {cluster: app, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_timeout: 0.02s}}
  - match: {prefix: "/idle"}
    route: {cluster: app, retry_policy: {retry_on: 5xx, num_retries: 0, per_try_idle_timeout: 0.02s}}
  - {match: {prefix: "/timeout"}, route: {cluster: app, timeout: 0.02s}}
  - match: {prefix: "/follow"}
    route: {cluster: app, internal_redirect_policy: {}}
  - {match: {prefix: "/"}, route: {cluster: app}}
"""
OPERATORS = (
    *("ACCESS_LOG_TYPE", "BYTES_RECEIVED", "BYTES_SENT", "RESPONSE_CODE", "RESPONSE_FLAGS", "PROTOCOL"),
    *("UPSTREAM_PROTOCOL", "RESPONSE_CODE_DETAILS", "ROUTE_NAME", "UPSTREAM_CLUSTER", "REQ(:PATH)"),
    *("REQ(X-ADDED)", "RESP(X-ADDED)", "RESP(SERVER)", "RESP(:STATUS)", "RESP(X-OWN)", "TRAILER(X-T)"),
    *("RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)", "REQUEST_DURATION", "RESPONSE_TX_DURATION"),
    *("UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_WIRE_BYTES_RECEIVED", "RESPONSE_HEADERS_BYTES"),
    *("VIRTUAL_CLUSTER_NAME", "STREAM_ID", "FILTER_CHAIN_NAME", "GRPC_STATUS", "DYNAMIC_METADATA(a)"),
)
#: what every line says, unless a test says otherwise
USUAL: dict[str, Any] = {
    **dict.fromkeys(OPERATORS),
    "ACCESS_LOG_TYPE": "UpstreamEnd",
    "BYTES_RECEIVED": 0,
    "BYTES_SENT": 0,
    "RESPONSE_CODE": 200,
    "RESP(:STATUS)": "200",
    "RESPONSE_FLAGS": "-",
    "PROTOCOL": "HTTP/1.1",
    "UPSTREAM_PROTOCOL": "HTTP/1.1",
    "UPSTREAM_CLUSTER": "app",
    "REQ(X-ADDED)": "2",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": 0,
    "UPSTREAM_WIRE_BYTES_RECEIVED": 0,
    "RESPONSE_HEADERS_BYTES": 0,
    "FILTER_CHAIN_NAME": "chain",
}
#: of an attempt without an answer
NONE = {"RESPONSE_CODE": 0, "RESP(:STATUS)": None}
#: of one without a connection
DEAD = {"PROTOCOL": None, "UPSTREAM_PROTOCOL": None, **NONE}
OK = "HTTP/1.1 200 OK\r\nx-own: 1\r\ncontent-length: 0\r\n\r\n"


def configure(proxy: Proxy) -> Config:
    fields = {name: f"%{name}%" for name in OPERATORS}
    fields["host"] = "%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_HOSTS_ATTEMPTED%"
    fields["client"] = "%DOWNSTREAM_REMOTE_PORT% %DOWNSTREAM_LOCAL_PORT%"
    fields["connections"] = "%CONNECTION_ID% %UPSTREAM_CONNECTION_ID%"
    fields["times"] = "%DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION%"
    fields["failure"] = "%UPSTREAM_TRANSPORT_FAILURE_REASON%"
    listeners = []
    for name, options in (
        ("main", {}),
        ("early", {"flush_upstream_log_on_upstream_stream": True, "upstream_log_flush_interval": "0.02s"}),
    ):
        log = json_log(proxy.log(name).path, fields)
        failed = json_log(
            proxy.log(f"{name}_failed").path,
            {"path": "%REQ(:PATH)%"},
            filter={"response_flag_filter": {}},
        )
        router = {"@type": ROUTER, "upstream_log": [log, failed]}
        if options:
            router["upstream_log_options"] = options
        each = listener(
            name,
            proxy.port(name),
            VIRTUAL_HOSTS,
            http_filters=[{"name": "router", "typed_config": router}],
            upgrade_configs=[{"upgrade_type": "websocket"}],
        )
        each["filter_chains"][0]["name"] = "chain"
        listeners.append(each)
    trailers = protocol_options(http1={"enable_trailers": True})
    app = cluster("app", proxy.origin().port, typed_extension_protocol_options=trailers)
    return bootstrap(
        proxy.port("admin"), listeners, [app, cluster("dead", proxy.port("no")), cluster("empty")]
    )


def lines(proxy: Proxy, path: str, count: int, log: str = "main") -> list[dict[str, Any]]:
    """What is logged of requests for this path, as soon as there are so many lines."""

    def found() -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in proxy.log(log).lines()]
        return [line for line in parsed if line["REQ(:PATH)"] == path]

    assert wait_for(lambda: len(found()) >= count), found()
    assert len(found()) == count
    return found()


def told(line: dict[str, Any]) -> dict[str, Any]:
    """What is not usual in a line."""
    skipped = ("REQ(:PATH)", "host", "client", "connections", "times", "failure")
    return {name: value for name, value in line.items() if name not in skipped and value != USUAL.get(name)}


def test_answer(proxy: Proxy) -> None:
    answer = (
        "HTTP/1.1 201 OK\r\nx-own: 1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 2\r\n\r\n"
    )
    proxy.origin().on("/one", raw(answer))
    with proxy.client() as client:
        client.send("POST /one?a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        assert client.read().status == 201
        port = client.local_port
    (line,) = lines(proxy, "/one?a", 1)
    line.pop("RESPONSE_HEADERS_BYTES")  # in Envoy with the fields of framing
    assert told(line) == {
        "BYTES_RECEIVED": 5,
        "BYTES_SENT": 3,
        "RESPONSE_CODE": 201,
        "RESP(:STATUS)": "201",
        "RESP(X-OWN)": "1",
        "TRAILER(X-T)": "2",
        "UPSTREAM_WIRE_BYTES_RECEIVED": len(answer),
    }
    host = f"127.0.0.1:{proxy.origin().port}"
    assert line["host"] == f"{host} {host} {host}"
    assert line["client"] == f"{port} {proxy.port()}"
    assert all(int(number) > 0 for number in line["connections"].split())
    assert all(int(time) < 1000 for time in line["times"].split())


def test_each_attempt(proxy: Proxy) -> None:
    proxy.origin().on("/again", raw("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"))
    proxy.ask("/again")
    size = len("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
    found = [told(line) for line in lines(proxy, "/again", 3)]
    for at, line in enumerate(found):
        assert line.pop("UPSTREAM_WIRE_BYTES_RECEIVED") == (at + 1) * size
    failed = {
        "RESPONSE_CODE": 503,
        "RESP(:STATUS)": "503",
        "ROUTE_NAME": "again",
        "RESPONSE_HEADERS_BYTES": 25,
    }
    assert found == [failed] * 3


def test_no_connection(proxy: Proxy) -> None:
    proxy.ask("/dead")
    (line,) = lines(proxy, "/dead", 1)
    assert told(line) == {**DEAD, "RESPONSE_FLAGS": "UF", "UPSTREAM_CLUSTER": "dead"}
    host = f"127.0.0.1:{proxy.port('no')}"
    assert line["host"] == f"{host} - -"
    assert line["failure"] == "delayed_connect_error:_Connection_refused"
    assert line["times"].split()[1:] == ["-", "-"]
    assert line["connections"].split()[1] == "0"


def test_requests_without_an_attempt(proxy: Proxy) -> None:
    proxy.ask("/direct")
    proxy.ask("/nobody")
    proxy.ask("/after")
    lines(proxy, "/after", 1)
    lines(proxy, "/direct", 0)
    lines(proxy, "/nobody", 0)


#: path: what the upstream does, and what is told of each attempt
ENDINGS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "/timeout": (silent(), [NONE]),
    "/try": (silent(), [{**NONE, "RESPONSE_FLAGS": "UT"}] * 2),
    "/idle": (silent(), [{**NONE, "RESPONSE_FLAGS": "SI"}]),
    "/closed": (raw("", then="close"), [{**NONE, "RESPONSE_FLAGS": "UC"}]),
    "/malformed": (raw("HTP/1.1 200 OK\r\n\r\n"), [{**NONE, "RESPONSE_FLAGS": "UPE"}]),
    "/cut": (
        raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", then="close"),
        [{"RESPONSE_FLAGS": "UPE", "BYTES_RECEIVED": 3}],
    ),
}


@pytest.mark.parametrize("path", ENDINGS)
def test_ending(proxy: Proxy, path: str) -> None:
    answer, expected = ENDINGS[path]
    proxy.origin().on(path, answer)
    with proxy.client() as client:
        client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
        client.read_head()
        found = [told(line) for line in lines(proxy, path, len(expected))]
    for line in found:
        line.pop("UPSTREAM_WIRE_BYTES_RECEIVED", None)
        line.pop("RESPONSE_HEADERS_BYTES", None)
    assert found == expected


def test_a_client_that_goes_away(proxy: Proxy) -> None:
    proxy.origin().on("/gone", silent())
    with proxy.client() as client:
        client.send("GET /gone HTTP/1.1\r\nhost: a\r\n\r\n")
        assert proxy.origin().take().target == "/gone"
    (line,) = lines(proxy, "/gone", 1)
    assert told(line) == NONE


def test_tunnel(proxy: Proxy) -> None:
    switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nabcd"
    proxy.origin().on("/tunnel", raw(switched, then="close"))
    with proxy.client() as client:
        client.send("GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nxyz")
        assert client.read_head().status == 101
        (line,) = lines(proxy, "/tunnel", 1)
    found = told(line)
    assert found.pop("UPSTREAM_WIRE_BYTES_RECEIVED") > 80
    found.pop("RESPONSE_HEADERS_BYTES")
    assert found.pop("BYTES_SENT") in (0, 3)  # the upstream may have gone before
    assert found == {
        "BYTES_RECEIVED": 4,
        "RESPONSE_CODE": 101,
        "RESP(:STATUS)": "101",
        "RESPONSE_FLAGS": "UC",
    }


def test_redirect_that_is_followed(proxy: Proxy) -> None:
    proxy.origin().on(
        "/follow", raw("HTTP/1.1 302 Go\r\nlocation: http://a/there\r\ncontent-length: 0\r\n\r\n")
    )
    proxy.origin().on("/there", raw(OK))
    assert proxy.ask("/follow").status == 200
    assert [line["RESPONSE_CODE"] for line in lines(proxy, "/there", 2)] == [302, 200]


def test_filter(proxy: Proxy) -> None:
    before = len(proxy.log("main_failed").lines())
    proxy.ask("/fine?filter")
    proxy.ask("/dead?filter")
    assert wait_for(lambda: proxy.log("main_failed").lines()[before:]) == ['{"path":"/dead?filter"}']


def test_earlier_lines(proxy: Proxy) -> None:
    proxy.origin().on("/slow", raw(0.2, OK))
    proxy.ask("/slow", "early")

    def kinds() -> list[str]:
        parsed = [json.loads(line) for line in proxy.log("early").lines()]
        return [line["ACCESS_LOG_TYPE"] for line in parsed if line["REQ(:PATH)"] == "/slow"]

    assert wait_for(lambda: "UpstreamEnd" in kinds())
    found = kinds()
    assert found[0] == "UpstreamPoolReady" and found[-1] == "UpstreamEnd"
    assert set(found[1:-1]) == {"UpstreamPeriodic"} and len(found) > 3
    ready = json.loads(proxy.log("early").lines()[0])
    assert told(ready) == {**NONE, "ACCESS_LOG_TYPE": "UpstreamPoolReady"}


def test_no_connection_and_earlier_lines(proxy: Proxy) -> None:
    proxy.ask("/dead?early", "early")
    assert [line["ACCESS_LOG_TYPE"] for line in lines(proxy, "/dead?early", 1, "early")] == ["UpstreamEnd"]
