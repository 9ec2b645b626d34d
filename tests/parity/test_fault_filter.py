"""The filter fault: delays and aborts, and whom they meet."""

from __future__ import annotations

import time
from typing import Any
from zlib import crc32

import pytest

from .harness import Proxy, wait_for
from .origin import raw, text
from .settings import ROUTER, Config, access_log, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

TYPE = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
FORMAT = "path=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%"
FORMAT += "\tmetadata=%DYNAMIC_METADATA(fault)%\tgrpc=%GRPC_STATUS_NUMBER%\n"
ALL, NONE = {"numerator": 100}, {"numerator": 0}
ABORT = {"http_status": 418, "percentage": ALL}


def fault(**fields: Any) -> Config:
    return {"typed_per_filter_config": {"fault": {"@type": TYPE, **fields}}}


#: path: what the route says of faults
ROUTES: dict[str, Config] = {
    "/abort": fault(abort=ABORT),
    "/never": fault(abort={"http_status": 418, "percentage": NONE}),
    "/delay": fault(delay={"fixed_delay": "0.12s", "percentage": ALL}),
    "/both": fault(delay={"fixed_delay": "0.12s", "percentage": ALL}, abort=ABORT),
    "/header_abort": fault(abort={"header_abort": {}, "percentage": ALL}),
    "/header_abort_none": fault(abort={"header_abort": {}, "percentage": NONE}),
    "/header_delay": fault(delay={"header_delay": {}, "percentage": ALL}),
    "/some": fault(abort=ABORT, headers=[{"name": "x-me", "string_match": {"exact": "1"}}]),
    "/cluster": fault(abort=ABORT, upstream_cluster="app"),
    "/other_cluster": fault(abort=ABORT, upstream_cluster="other"),
    "/nodes": fault(abort=ABORT, downstream_nodes=["n1", "n2"]),
    "/keys": fault(abort=ABORT, abort_http_status_runtime="my.status", abort_percent_runtime="my.percent"),
    "/by_runtime": fault(
        abort={"http_status": 418, "percentage": NONE},
        abort_percent_runtime="set.percent",
        abort_http_status_runtime="set.status",
    ),
    "/at_most": fault(delay={"fixed_delay": "1s", "percentage": ALL}, max_active_faults=1),
    "/grpc": fault(abort={"grpc_status": 5, "percentage": ALL}, filter_metadata={"why": "test"}),
    "/slow": fault(response_rate_limit={"fixed_limit": {"limit_kbps": 20}, "percentage": ALL}),
    "/header_slow": fault(response_rate_limit={"header_limit": {}, "percentage": ALL}),
    "/slow_none": fault(response_rate_limit={"fixed_limit": {"limit_kbps": 1}, "percentage": NONE}),
    "/slow_abort": fault(
        response_rate_limit={"fixed_limit": {"limit_kbps": 1}, "percentage": ALL}, abort=ABORT
    ),
    "/plain": {},
}


def configure(proxy: Proxy) -> Config:
    filters = [
        {"name": "fault", "typed_config": {"@type": TYPE}},
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    routes = [{"match": {"path": path}, "route": {"cluster": "app"}, **said} for path, said in ROUTES.items()]
    main = listener(
        "main",
        proxy.port(),
        [{"name": "all", "domains": ["*"], "routes": routes}],
        http_filters=filters,
        access_log=[access_log(proxy.log().path, FORMAT)],
    )
    static = {
        "my.status": 419,
        "set.percent": 100,
        "set.status": 503,
        "fault.http.c1.abort.http_status": 420,
        "fault.http.c1.abort.abort_percent": 100,
        "fault.http.c1.abort.grpc_status": 8,
    }
    layers = [{"name": "s", "static_layer": static}]
    clusters = [cluster("app", proxy.origin().port), cluster("other", 1)]
    return bootstrap(proxy.port("admin"), [main], clusters, layered_runtime={"layers": layers})


@pytest.mark.parametrize(
    ("path", "headers", "status", "flags"),
    [
        ("/plain", "", 200, "-"),
        ("/abort", "", 418, "FI"),
        ("/never", "", 200, "-"),
        ("/delay", "", 200, "DI"),
        ("/both", "", 418, "DI,FI"),
        ("/header_abort", "", 200, "-"),
        ("/header_abort", "x-envoy-fault-abort-request: 429\r\n", 429, "FI"),
        ("/header_abort", "x-envoy-fault-abort-request: 199\r\n", 200, "-"),
        ("/header_abort", "x-envoy-fault-abort-request: x\r\n", 200, "-"),
        (
            "/header_abort",
            "x-envoy-fault-abort-request: 429\r\nx-envoy-fault-abort-request-percentage: 0\r\n",
            200,
            "-",
        ),
        (
            "/header_abort_none",
            "x-envoy-fault-abort-request: 429\r\nx-envoy-fault-abort-request-percentage: 100\r\n",
            200,
            "-",
        ),
        ("/header_abort", "x-envoy-fault-abort-grpc-request: 7\r\n", 200, "FI"),
        (
            "/header_abort",
            "x-envoy-fault-abort-request: 429\r\nx-envoy-fault-abort-grpc-request: 7\r\n",
            429,
            "FI",
        ),
        (
            "/header_abort",
            "x-envoy-fault-abort-grpc-request: 7\r\nx-envoy-fault-abort-request-percentage: 0\r\n",
            200,
            "-",
        ),
        ("/grpc", "", 200, "FI"),
        ("/slow_abort", "", 418, "FI"),
        ("/header_delay", "", 200, "-"),
        ("/header_delay", "x-envoy-fault-delay-request: 120\r\n", 200, "DI"),
        ("/some", "x-me: 1\r\n", 418, "FI"),
        ("/some", "", 200, "-"),
        ("/cluster", "", 418, "FI"),
        ("/other_cluster", "", 200, "-"),
        ("/nodes", "x-envoy-downstream-service-node: n2\r\n", 418, "FI"),
        ("/nodes", "x-envoy-downstream-service-node: n3\r\n", 200, "-"),
        ("/nodes", "", 200, "-"),
        ("/keys", "", 419, "FI"),
        ("/by_runtime", "", 503, "FI"),
        ("/never", "x-envoy-downstream-service-cluster: c1\r\n", 420, "FI"),
        ("/abort", "x-envoy-downstream-service-cluster: c2\r\n", 418, "FI"),
    ],
)
def test_faults(proxy: Proxy, path: str, headers: str, status: int, flags: str) -> None:
    word = f"{path}?{crc32(headers.encode())}"
    start = time.monotonic()
    response = proxy.ask(word, headers=headers)
    took = time.monotonic() - start
    assert response.status == status
    assert took >= 0.11 or "DI" not in flags
    fields = proxy.log().fields(word)
    assert fields["flags"] == flags
    if "FI" in flags:
        assert (response.text, fields["details"]) == ("fault filter abort", "fault_filter_abort")
        assert proxy.origin().nothing(0.02)


def test_content_waits_with_the_head(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("POST /delay HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
        assert proxy.origin().nothing(0.05)
        assert client.send("cd").read().status == 200
    assert proxy.origin().take().body == b"abcd"


def test_at_most_so_many_at_a_time(proxy: Proxy) -> None:
    before = proxy.stat("http.main.fault.faults_overflow")
    with proxy.client() as client:
        client.send("GET /at_most HTTP/1.1\r\nhost: a\r\n\r\n")
        assert proxy.stat_becomes("http.main.fault.active_faults", 1)
        assert proxy.ask("/at_most?too-many").status == 200
        assert client.read().status == 200
    assert proxy.log().fields("/at_most?too-many")["flags"] == "-"
    assert proxy.stat("http.main.fault.faults_overflow") == before + 1
    assert proxy.stat_becomes("http.main.fault.active_faults", 0)


def test_a_client_that_leaves_ends_its_fault(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("GET /at_most HTTP/1.1\r\nhost: a\r\n\r\n")
        assert proxy.stat_becomes("http.main.fault.active_faults", 1)
    assert wait_for(lambda: proxy.stat("http.main.fault.active_faults") == 0)
    assert proxy.origin().nothing()


def test_statistics(proxy: Proxy) -> None:
    names = ("aborts_injected", "delays_injected", "c9.aborts_injected", "response_rl_injected")
    before = [proxy.stat(f"http.main.fault.{name}") for name in names]
    proxy.ask("/both")
    proxy.ask("/abort", headers="x-envoy-downstream-service-cluster: c9\r\n")
    after = [proxy.stat(f"http.main.fault.{name}") for name in names]
    assert [new - old for new, old in zip(after, before)] == [2, 1, 1, 0]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/grpc", "", "5"),
        ("/grpc", "x-envoy-downstream-service-cluster: c1\r\n", "8"),
        ("/header_abort", "x-envoy-fault-abort-grpc-request: 7\r\n", "7"),
        ("/abort", "", "2"),
    ],
)
def test_aborts_of_grpc(proxy: Proxy, path: str, headers: str, status: str) -> None:
    word = f"{path}?grpc{crc32(headers.encode())}"
    response = proxy.ask(word, headers="content-type: application/grpc\r\n" + headers)
    assert (response.status, response["grpc-status"]) == (200, status)
    assert (response["grpc-message"], response.body) == ("fault filter abort", b"")
    assert proxy.log().fields(word)["grpc"] == status


@pytest.mark.parametrize(
    ("path", "metadata"), [("/grpc", '{"why":"test"}'), ("/both", "{}"), ("/slow", "-"), ("/plain", "-")]
)
def test_metadata(proxy: Proxy, path: str, metadata: str) -> None:
    proxy.ask(f"{path}?metadata")
    assert proxy.log().fields(f"{path}?metadata")["metadata"] == metadata


def pieces(proxy: Proxy, path: str, size: int, headers: str = "") -> list[tuple[float, int]]:
    """When content of the response came, and how much in all until then."""
    proxy.origin().on(path, text("x" * size))
    with proxy.client() as client:
        start = time.monotonic()
        client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n")
        response = client.read_head()
        assert response["content-length"] == str(size)
        come = len(client.buffer)
        found = [(time.monotonic() - start, come)]
        while come < size:
            come += len(client.read_some())
            found.append((time.monotonic() - start, come))
    return found


@pytest.mark.parametrize(
    ("path", "headers"), [("/slow", ""), ("/header_slow", "x-envoy-fault-throughput-response: 20\r\n")]
)
def test_slow_response(proxy: Proxy, path: str, headers: str) -> None:
    before = proxy.stat("http.main.fault.response_rl_injected")
    found = pieces(proxy, path, 5000, headers)
    # 20 KiB a second: the first 1024 bytes at once, the others in four times 50 ms
    assert found[-1][0] > 0.19
    assert len(found) >= 2
    assert all(come < (0.05 + at) * 20480 + 300 for at, come in found)
    assert proxy.stat("http.main.fault.response_rl_injected") == before + 1
    assert proxy.stat_becomes("http.main.fault.active_faults", 0)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/slow_none", ""),
        ("/header_slow", ""),
        ("/header_slow", "x-envoy-fault-throughput-response: 0\r\n"),
        (
            "/header_slow",
            "x-envoy-fault-throughput-response: 1\r\nx-envoy-fault-throughput-response-percentage: 0\r\n",
        ),
    ],
)
def test_not_slow(proxy: Proxy, path: str, headers: str) -> None:
    before = proxy.stat("http.main.fault.response_rl_injected")
    assert any(pieces(proxy, path, 5000, headers)[-1][0] < 0.2 for _ in range(10))
    assert proxy.stat("http.main.fault.response_rl_injected") == before


def test_slow_response_with_trailers_and_without_content(proxy: Proxy) -> None:
    chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 2\r\n\r\n"
    proxy.origin().on("/slow", raw(chunked))
    assert proxy.ask("/slow").text == "hello"
    proxy.origin().on("/slow", raw("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
    assert proxy.ask("/slow").body == b""


def test_a_client_that_leaves_a_slow_response(proxy: Proxy) -> None:
    proxy.origin().on("/slow", text("x" * 50000))
    with proxy.client() as client:
        client.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        client.read_head()
        assert proxy.stat_becomes("http.main.fault.active_faults", 1)
    assert proxy.stat_becomes("http.main.fault.active_faults", 0)
