"""Time limits of routes, streams and attempts, and the request headers that change them."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .origin import Answer, raw, silent, text
from .settings import ROUTER, Config, access_log, bootstrap, cluster, listener, protocol_options
from .wire import Response

pytestmark = pytest.mark.parity
FORMAT = "id=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%\n"
SLOW_BODY = raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", 0.15, "ok")
GRPC = "content-type: application/grpc\r\n"
QUICK = {"base_interval": "0.001s", "max_interval": "0.002s"}

# path: fields of the route's action
ROUTES: dict[str, Config] = {
    "plain": {},
    "timeout": {"timeout": "0.08s"},
    "never": {"timeout": "0s"},
    "idle": {"idle_timeout": "0.08s"},
    "idle_off": {"idle_timeout": "0s"},
    "idle_long": {"idle_timeout": "10s"},
    "duration": {"max_stream_duration": {"max_stream_duration": "0.08s"}, "timeout": "0.02s"},
    "duration_off": {"max_stream_duration": {"max_stream_duration": "0s"}, "timeout": "0.02s"},
    "duration_empty": {"max_stream_duration": {}, "timeout": "0.02s"},
    "duration_grpc": {
        "max_stream_duration": {
            "max_stream_duration": "5s",
            "grpc_timeout_header_max": "0.1s",
            "grpc_timeout_header_offset": "0.01s",
        }
    },
    "duration_long": {"max_stream_duration": {"max_stream_duration": "300s"}},
    "duration_none": {"max_stream_duration": {"max_stream_duration": "0s"}},
    "duration_grpc_long": {
        "max_stream_duration": {
            "max_stream_duration": "300s",
            "grpc_timeout_header_max": "10s",
            "grpc_timeout_header_offset": "1s",
        }
    },
    "grpc": {"max_grpc_timeout": "0.1s", "grpc_timeout_offset": "0.01s"},
    "grpc_any": {"max_grpc_timeout": "0s", "timeout": "0.02s"},
    "limited": {"cluster": "limited"},
    "limited_again": {
        "cluster": "limited",
        "retry_policy": {"retry_on": "5xx", "retry_back_off": QUICK},
    },
    "flush": {"flush_timeout": "1s"},
}


def configure(proxy: Proxy) -> Config:
    routes = [
        {"match": {"path": f"/{name}"}, "route": {"cluster": "app", **action}}
        for name, action in ROUTES.items()
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    log = access_log(proxy.log().path, FORMAT)
    inside = {
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]},
        "use_remote_address": True,
    }

    def router(**settings: object) -> list[Config]:
        return [{"name": "router", "typed_config": {"@type": ROUTER, **settings}}]

    checked = ["x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms"]
    checked += ["x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-retry-grpc-on"]
    quiet = {"stream_idle_timeout": "0.08s"}
    short = {"common_http_protocol_options": {"max_stream_duration": "0.08s"}}
    managers = {
        "main": {},
        "quiet": quiet,
        "short": short,
        "inside": inside,
        "strict": {**inside, "http_filters": router(strict_check_headers=checked)},
        "respecting": {**inside, "http_filters": router(respect_expected_rq_timeout=True)},
        "silent": {**inside, "http_filters": router(suppress_envoy_headers=True)},
    }
    listeners = [
        listener(name, proxy.port(name), hosts, access_log=[log], **settings)
        for name, settings in managers.items()
    ]
    port = proxy.origin().port
    options = protocol_options(common_http_protocol_options={"max_stream_duration": "0.08s"})
    clusters = [
        cluster("app", port),
        cluster("limited", port, typed_extension_protocol_options=options),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def run(
    proxy: Proxy, path: str, word: str, name: str = "main", answer: Answer | None = None, headers: str = ""
) -> tuple[Response, str, str]:
    """The answer to a request that the upstream does not answer, unless told to; flags and details of its log line."""
    proxy.origin().on(f"/{path}", answer or silent())
    response = proxy.ask(f"/{path}?{word}", name, headers=headers)
    while not proxy.origin().queue.empty():
        proxy.origin().queue.get()
    line = proxy.log().fields(f"/{path}?{word}\t")
    return response, line["flags"], line["details"]


def told(proxy: Proxy, path: str, name: str = "main", headers: str = "") -> dict[str, str]:
    """What the upstream is told of its time."""
    proxy.ask(f"/{path}", name, headers=headers)
    seen = proxy.origin().take()
    return {
        key: value
        for key, value in seen.headers
        if "timeout" in key or "duration" in key or "retr" in key or "stat-name" in key
    }


EXPECTED = "x-envoy-expected-rq-timeout-ms"


def test_route_idle_timeout(proxy: Proxy) -> None:
    response, flags, details = run(proxy, "idle", "silent")
    assert (response.status, response.text) == (504, "stream timeout")
    assert (flags, details) == ("SI", "stream_idle_timeout")
    assert run(proxy, "idle_off", "off", "quiet", SLOW_BODY)[0].text == "ok"
    assert run(proxy, "idle_long", "long", "quiet", SLOW_BODY)[0].text == "ok"
    assert run(proxy, "plain", "as-the-manager", "quiet")[1:] == ("SI", "stream_idle_timeout")


def test_idle_timeout_of_a_request_that_does_not_end(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("POST /idle?post HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
        response = client.read()
    assert (response.status, response.text) == (408, "stream timeout")


@pytest.mark.parametrize(("path", "name"), [("duration", "main"), ("never", "short"), ("duration", "short")])
def test_duration_of_the_stream(proxy: Proxy, path: str, name: str) -> None:
    before = proxy.stat(f"http.{name}.downstream_rq_max_duration_reached")
    response, flags, details = run(proxy, path, f"whole-{name}", name)
    assert (response.status, response.text) == (504, "downstream duration timeout")
    assert (flags, details) == ("-", "max_duration_timeout")
    assert proxy.stat(f"http.{name}.downstream_rq_max_duration_reached") == before + 1
    with proxy.client(name) as client:
        client.send(f"POST /{path}?post-{name} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
        response = client.read()
    assert (response.status, response.text) == (408, "downstream duration timeout")


def test_duration_that_is_switched_off(proxy: Proxy) -> None:
    assert run(proxy, "duration_off", "off", "short", SLOW_BODY)[0].text == "ok"
    assert run(proxy, "duration_empty", "empty", "main", SLOW_BODY)[0].text == "ok"
    assert run(proxy, "duration_empty", "empty-short", "short")[0].status == 504


def test_duration_in_the_middle_of_a_response(proxy: Proxy) -> None:
    proxy.origin().on("/duration", SLOW_BODY)
    with proxy.client() as client:
        client.send("GET /duration?middle HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.read_head().status == 200
        assert client.ended()
    assert proxy.log().fields("/duration?middle\t")["details"] == "max_duration_timeout"


def test_what_the_upstream_is_told(proxy: Proxy) -> None:
    assert told(proxy, "plain") == {EXPECTED: "15000"}
    assert told(proxy, "never") == {}
    for name in ("duration", "duration_off", "duration_empty"):
        assert told(proxy, name) == told(proxy, name, "short") == {}
    assert told(proxy, "plain", "short") == {EXPECTED: "15000"}
    assert told(proxy, "never", "short") == {}
    assert told(proxy, "idle") == {EXPECTED: "15000"}
    assert told(proxy, "flush") == {EXPECTED: "15000"}
    assert told(proxy, "plain", "silent") == {}
    assert told(proxy, "never", "silent") == {}


def test_grpc_timeouts(proxy: Proxy) -> None:
    assert told(proxy, "grpc", headers="grpc-timeout: 50m\r\n") == {EXPECTED: "15000", "grpc-timeout": "50m"}
    assert told(proxy, "grpc", headers=GRPC) == {EXPECTED: "100", "grpc-timeout": "100m"}
    for value, left in (
        ("50m", 40),
        ("1S", 100),
        ("10m", 10),
        ("5m", 5),
        ("1H", 100),
        ("20000u", 10),
        ("x", 100),
        ("123456789m", 100),
        ("60001u", 51),
    ):
        headers = f"{GRPC}grpc-timeout: {value}\r\n"
        assert told(proxy, "grpc", headers=headers) == {EXPECTED: f"{left}", "grpc-timeout": f"{left}m"}
    assert told(proxy, "grpc_any", headers=GRPC) == {}
    headers = GRPC + "grpc-timeout: 99999999H\r\n"
    assert told(proxy, "grpc_any", headers=headers)["grpc-timeout"] == "99999999H"
    headers = GRPC + "grpc-timeout: 90000000S\r\n"
    assert told(proxy, "grpc_any", headers=headers)["grpc-timeout"] == "90000000S"
    headers = GRPC + "grpc-timeout: 3000000M\r\n"
    assert told(proxy, "grpc_any", headers=headers)["grpc-timeout"] == "3000000M"


def test_grpc_timeout_as_duration(proxy: Proxy) -> None:
    assert told(proxy, "duration_grpc", headers="grpc-timeout: 50m\r\n") == {"grpc-timeout": "50m"}
    answer = raw(0.2, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    for value, status in (("50m", 504), ("1S", 504), ("x", 200), ("10m", 504), ("0m", 504)):
        headers = f"grpc-timeout: {value}\r\n"
        assert (
            run(proxy, "duration_grpc", f"after-{value}", answer=answer, headers=headers)[0].status == status
        )
    response, flags, details = run(proxy, "duration_grpc", "slow", headers="grpc-timeout: 50m\r\n")
    assert (response.status, flags, details) == (504, "-", "max_duration_timeout")


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("duration_long", "", "300000m"),
        ("duration_long", "5S", "300000m"),
        ("duration_long", "x", "300000m"),
        ("duration_grpc_long", "", "300000m"),
        ("duration_grpc_long", "5S", "4000m"),
        ("duration_grpc_long", "500S", "9000m"),
        ("duration_none", "", None),
        ("duration_none", "5S", "5S"),
    ],
)
def test_a_grpc_upstream_is_told_the_duration(
    proxy: Proxy, name: str, said: str, expected: str | None
) -> None:
    headers = GRPC + (f"grpc-timeout: {said}\r\n" if said else "")
    assert told(proxy, name, headers=headers).get("grpc-timeout") == expected
    assert told(proxy, name).get("grpc-timeout") is None


def test_duration_of_an_attempt(proxy: Proxy) -> None:
    response, flags, details = run(proxy, "limited", "once")
    assert (response.status, response.text) == (504, "upstream max stream duration reached")
    assert (flags, details) == ("UMSDR", "upstream_max_stream_duration_reached")
    assert proxy.stat("cluster.limited.upstream_rq_max_duration_reached") == 1
    response, flags, details = run(proxy, "limited_again", "twice")
    assert (response.status, flags) == (504, "URX,UMSDR")
    assert proxy.stat("cluster.limited.upstream_rq_max_duration_reached") == 3


def test_duration_of_an_attempt_in_the_middle_of_a_response(proxy: Proxy) -> None:
    proxy.origin().on("/limited", SLOW_BODY)
    with proxy.client() as client:
        client.send("GET /limited?middle HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.read_head().status == 200
        assert client.ended()
    assert proxy.log().fields("/limited?middle\t")["flags"] == "UMSDR"


TOLD = {
    "total": ("x-envoy-upstream-rq-timeout-ms: 70", {EXPECTED: "70"}),
    "total-never": ("x-envoy-upstream-rq-timeout-ms: 0", {}),
    "total-plus": ("x-envoy-upstream-rq-timeout-ms: +70", {EXPECTED: "70"}),
    "total-nonsense": ("x-envoy-upstream-rq-timeout-ms: 70x", {EXPECTED: "15000"}),
    "total-negative": ("x-envoy-upstream-rq-timeout-ms: -70", {EXPECTED: "15000"}),
    "per-try": ("x-envoy-upstream-rq-per-try-timeout-ms: 70", {EXPECTED: "70"}),
    "per-try-long": ("x-envoy-upstream-rq-per-try-timeout-ms: 15000", {EXPECTED: "15000"}),
    "both": (
        "x-envoy-upstream-rq-per-try-timeout-ms: 70\r\nx-envoy-upstream-rq-timeout-ms: 90",
        {EXPECTED: "70"},
    ),
    "hedged": (
        "x-envoy-upstream-rq-per-try-timeout-ms: 70\r\nx-envoy-hedge-on-per-try-timeout: true",
        {EXPECTED: "15000"},
    ),
    "duration": ("x-envoy-upstream-stream-duration-ms: 70", {EXPECTED: "15000"}),
    "alternative": ("x-envoy-upstream-rq-timeout-alt-response: 1", {EXPECTED: "15000"}),
    "alt-stat": ("x-envoy-upstream-alt-stat-name: other", {EXPECTED: "15000"}),
    "expected": ("x-envoy-expected-rq-timeout-ms: 70", {EXPECTED: "15000"}),
}


@pytest.mark.parametrize("case", TOLD)
def test_told_by_the_request(proxy: Proxy, case: str) -> None:
    headers, wanted = TOLD[case]
    assert told(proxy, "plain", "inside", headers + "\r\n") == wanted
    assert told(proxy, "plain", "main", headers + "\r\n") == {EXPECTED: "15000"}


def test_total_timeout_of_the_request(proxy: Proxy) -> None:
    headers = "x-envoy-upstream-rq-timeout-ms: 60\r\n"
    response, flags, details = run(proxy, "plain", "total", "inside", headers=headers)
    assert (response.status, response.text) == (504, "upstream request timeout")
    assert (flags, details) == ("UT", "response_timeout")


def test_alternative_answer(proxy: Proxy) -> None:
    headers = "x-envoy-upstream-rq-timeout-ms: 60\r\nx-envoy-upstream-rq-timeout-alt-response: yes\r\n"
    before = proxy.stat("cluster.app.upstream_rq_204")
    response, flags, details = run(proxy, "plain", "alternative", "inside", headers=headers)
    assert (response.status, response.text) == (204, "")
    assert (flags, details) == ("UT", "response_timeout")
    assert proxy.stat("cluster.app.upstream_rq_204") == before + 1


def test_per_try_timeout_of_the_request(proxy: Proxy) -> None:
    headers = "x-envoy-upstream-rq-per-try-timeout-ms: 60\r\nx-envoy-retry-on: 5xx\r\n"
    response, flags, details = run(proxy, "plain", "per-try", "inside", headers=headers)
    assert (response.status, flags, details) == (504, "URX,UT", "upstream_per_try_timeout")


def test_duration_of_the_request(proxy: Proxy) -> None:
    headers = "x-envoy-upstream-stream-duration-ms: 60\r\n"
    response, flags, _ = run(proxy, "plain", "duration", "inside", headers=headers)
    assert (response.status, flags) == (504, "UMSDR")
    headers = "x-envoy-upstream-stream-duration-ms: 0\r\n"
    assert run(proxy, "limited", "no-duration", "inside", SLOW_BODY, headers)[0].text == "ok"


def test_alternative_statistics(proxy: Proxy) -> None:
    headers = "x-envoy-upstream-alt-stat-name: one.more\r\n"
    run(proxy, "plain", "alt-stat", "inside", text(status="201 X"), headers)
    found = proxy.stats("^cluster%5C.app%5C.one%5C.more%5C.")
    assert {key.removeprefix("cluster.app.one.more."): value for key, value in found.items()} == {
        "upstream_rq_201": 1,
        "upstream_rq_2xx": 1,
        "upstream_rq_completed": 1,
        "internal.upstream_rq_201": 1,
        "internal.upstream_rq_2xx": 1,
        "internal.upstream_rq_completed": 1,
    }


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ("x-envoy-upstream-rq-timeout-ms: 5x", "x-envoy-upstream-rq-timeout-ms"),
        ("x-envoy-upstream-rq-per-try-timeout-ms: 1.5", "x-envoy-upstream-rq-per-try-timeout-ms"),
        ("x-envoy-max-retries: many", "x-envoy-max-retries"),
        ("x-envoy-retry-on: 5xx,sometimes", "x-envoy-retry-on"),
        ("x-envoy-retry-grpc-on: 5xx", "x-envoy-retry-grpc-on"),
        ("x-envoy-retry-on: 5xx, reset\r\nx-envoy-retry-grpc-on: internal\r\nx-envoy-max-retries: 1", None),
        ("x-envoy-upstream-rq-timeout-ms: 5000", None),
    ],
)
def test_strict_check_headers(proxy: Proxy, headers: str, wrong: str | None) -> None:
    word = headers.partition("\r\n")[0].replace(" ", "_").replace(":", "")
    response, flags, details = run(proxy, "plain", word, "strict", text(), headers + "\r\n")
    if wrong is None:
        assert (response.status, flags) == (200, "-")
    else:
        value = headers.partition(": ")[2]
        assert (response.status, response.text) == (400, f"invalid header '{wrong}' with value '{value}'")
        assert (flags, details) == ("IH", f"request_headers_failed_strict_check{{{wrong}}}")


def test_expected_timeout_is_respected(proxy: Proxy) -> None:
    headers = f"{EXPECTED}: 60\r\nx-envoy-upstream-rq-timeout-ms: 5000\r\n"
    found = told(proxy, "plain", "respecting", headers)
    assert found == {EXPECTED: "60", "x-envoy-upstream-rq-timeout-ms": "5000"}
    assert run(proxy, "plain", "respected", "respecting", headers=headers)[0].status == 504
    found = told(proxy, "plain", "respecting", "x-envoy-upstream-rq-timeout-ms: 70\r\n")
    assert found == {EXPECTED: "70"}
