"""The filter admission_control: a share of the requests is refused while too many fail.

Each worker judges by its own requests, so those of a test mostly come over one connection."""

from __future__ import annotations

import time

import pytest

from .harness import Proxy, wait_for
from .origin import raw
from .settings import ROUTER, Config, access_log, bootstrap, cluster, listener, protocol_options
from .wire import Client, Response, request_bytes
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

TYPE = "type.googleapis.com/envoy.extensions.filters.http.admission_control.v3.AdmissionControl"
HEALTH_CHECK = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck"
FORMAT = "path=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%\n"
ANY: Config = {}


def percent(value: float, key: str = "none") -> Config:
    return {"default_value": {"value": value}, "runtime_key": key}


def number(value: float, key: str = "none") -> Config:
    return {"default_value": value, "runtime_key": key}


#: After one failure hardly anything passes: the probability is (1/2) ** (1/100000).
STRICT: Config = {"aggression": number(100000.0), "max_rejection_probability": percent(100.0)}

#: Each is the filter of a listener of its own.
FILTERS: dict[str, Config] = {
    "strict": {**STRICT, "success_criteria": ANY},
    "defaults": {"success_criteria": ANY},
    "http": {
        **STRICT,
        "success_criteria": {
            "http_criteria": {
                "http_success_status": [{"start": 200, "end": 300}, {"start": 404, "end": 405}]
            },
        },
    },
    "grpc": {**STRICT, "success_criteria": {"grpc_criteria": {"grpc_success_status": [0, 7]}}},
    "grpc_defaults": {**STRICT, "success_criteria": ANY},
    "slow": {**STRICT, "success_criteria": ANY, "rps_threshold": number(1)},
    "never": {**STRICT, "success_criteria": ANY, "max_rejection_probability": percent(0.0)},
    "off": {
        **STRICT,
        "success_criteria": ANY,
        "enabled": {"default_value": True, "runtime_key": "guard.off"},
    },
    "by_runtime": {
        "success_criteria": ANY,
        "aggression": number(1.0, "guard.aggression"),
        "sr_threshold": percent(1.0, "guard.threshold"),
        "rps_threshold": number(1000, "guard.rps"),
        "max_rejection_probability": percent(0.0, "guard.most"),
    },
    "window": {**STRICT, "success_criteria": ANY, "sampling_window": "1s"},
    "checks": {**STRICT, "success_criteria": ANY},
    "each": {**STRICT, "success_criteria": ANY},
}
RUNTIME = {"off": False, "aggression": 100000, "threshold": 95, "rps": 0, "most": 100}


def configure(proxy: Proxy) -> Config:
    def one(name: str, settings: Config) -> Config:
        filters: list[Config] = [
            {"name": "guard", "typed_config": {"@type": TYPE, **settings}},
            {"name": "router", "typed_config": {"@type": ROUTER}},
        ]
        if name == "checks":
            check = {"@type": HEALTH_CHECK, "pass_through_mode": True, "headers": [{"name": "x-check"}]}
            filters.insert(0, {"name": "check", "typed_config": check})
        routes = [
            {"match": {"path": "/direct"}, "direct_response": {"status": 500}},
            {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
        ]
        return listener(
            name,
            proxy.port(name),
            [{"name": "all", "domains": ["*"], "routes": routes}],
            http_filters=filters,
            access_log=[access_log(proxy.log(name).path, FORMAT)],
        )

    trailers = protocol_options(http1={"enable_trailers": True})
    layer = {"name": "static", "static_layer": {"guard": RUNTIME}}
    return bootstrap(
        proxy.port("admin"),
        [one(name, settings) for name, settings in FILTERS.items()],
        [cluster("app", proxy.origin().port, typed_extension_protocol_options=trailers)],
        layered_runtime={"layers": [layer]},
    )


def answer(proxy: Proxy, path: str, status: int, headers: str = "", trailers: str = "") -> None:
    """Have the origin answer so."""
    if trailers:
        text = f"HTTP/1.1 {status} X\r\n{headers}transfer-encoding: chunked\r\n\r\n0\r\n{trailers}\r\n"
    else:
        text = f"HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\n\r\n"
    proxy.origin().on(path, raw(text))


def ask(client: Client, path: str) -> Response:
    return client.send(request_bytes(path)).read()


def counts(proxy: Proxy, name: str) -> dict[str, int]:
    """Envoy has them from the first request on."""
    prefix = f"http.{name}.admission_control."
    found = proxy.stats(f"^{prefix}")
    return {key: found.get(prefix + key, 0) for key in ("rq_success", "rq_failure", "rq_rejected")}


def become(proxy: Proxy, name: str, before: dict[str, int] | None = None, **more: int) -> bool:
    """Whether there are so many more in time, and no others."""
    before = before or dict.fromkeys(("rq_success", "rq_failure", "rq_rejected"), 0)
    wanted = {key: value + more.get(key, 0) for key, value in before.items()}
    wait_for(lambda: counts(proxy, name) == wanted)
    return counts(proxy, name) == wanted


def test_a_failure_has_what_follows_refused(proxy: Proxy) -> None:
    answer(proxy, "/bad", 503)
    with proxy.client("strict") as client:
        assert ask(client, "/good").status == 200
        assert ask(client, "/bad").status == 503
        # One of two succeeded, and 95 % were to.
        response = ask(client, "/refused")
        assert client.still_open()
    assert (response.status, response.body) == (503, b"")
    assert response.normal == [("content-length", "0"), ("date", "DATE"), ("server", "SERVER")]
    fields = proxy.log("strict").fields("/refused")
    assert (fields["flags"], fields["details"]) == ("-", "denied_by_admission_control")
    assert become(proxy, "strict", rq_success=1, rq_failure=1, rq_rejected=1)


def test_each_worker_judges_by_its_own_requests(proxy: Proxy, workers: Workers) -> None:
    clients = workers.new_clients("each")
    before = counts(proxy, "each")
    answer(proxy, "/bad", 503)
    for failed, client in enumerate(clients, 1):
        assert [ask(each, "/good").status for each in clients[failed - 1 :]] == [200] * (
            len(clients) - failed + 1
        )
        assert ask(client, "/bad").status == 503
        assert [ask(each, "/good").status for each in clients[:failed]] == [503] * failed
    count = proxy.concurrency
    passed = count * (count + 1) // 2
    assert become(proxy, "each", before, rq_success=passed, rq_failure=count, rq_rejected=passed)


def test_defaults_do_not_refuse_what_succeeds(proxy: Proxy) -> None:
    for _ in range(5):
        assert proxy.ask("/good", "defaults").status == 200
    assert become(proxy, "defaults", rq_success=5)


@pytest.mark.parametrize(
    ("name", "status", "headers", "trailers", "success"),
    [
        ("http", 200, "", "", True),
        ("http", 404, "", "", True),
        ("http", 299, "", "", True),
        ("grpc", 200, "content-type: application/grpc\r\ngrpc-status: 0\r\n", "", True),
        ("grpc", 200, "content-type: application/grpc\r\ngrpc-status: 7\r\n", "", True),
        ("grpc", 200, "content-type: application/grpc\r\n", "grpc-status: 7\r\n", True),
        ("grpc", 404, "", "", True),
        ("grpc_defaults", 404, "", "", True),
        ("grpc_defaults", 200, "content-type: application/grpc\r\ngrpc-status: 5\r\n", "", True),
        ("grpc_defaults", 200, "content-type: application/grpc+proto\r\n", "grpc-status: 3\r\n", True),
        # The failures come last: what follows them is refused.
        ("http", 403, "", "", False),
        ("grpc", 200, "content-type: application/grpc\r\n", "grpc-status: 3\r\n", False),
        ("grpc_defaults", 200, "content-type: application/grpc\r\n", "grpc-status: 14\r\n", False),
    ],
)
def test_what_succeeds(
    proxy: Proxy, name: str, status: int, headers: str, trailers: str, success: bool
) -> None:
    before = counts(proxy, name)
    answer(proxy, "/it", status, headers, trailers)
    assert proxy.ask("/it", name).status == status
    assert become(proxy, name, before, rq_success=int(success), rq_failure=int(not success))


@pytest.mark.parametrize("name", ["slow", "never", "off"])
def test_not_refused(proxy: Proxy, name: str) -> None:
    answer(proxy, "/bad", 500)
    for _ in range(4):
        assert proxy.ask("/bad", name).status == 500
    counted = 0 if name == "off" else 4
    assert become(proxy, name, rq_failure=counted)


def test_runtime(proxy: Proxy) -> None:
    answer(proxy, "/bad", 500)
    with proxy.client("by_runtime") as client:
        assert [ask(client, "/bad").status for _ in range(2)] == [500, 503]


def test_replies_of_our_own_count(proxy: Proxy) -> None:
    with proxy.client("checks") as client:
        assert ask(client, "/direct").status == 500
        assert ask(client, "/direct").status == 503
    assert become(proxy, "checks", rq_failure=1, rq_rejected=1)


def test_health_checks_pass(proxy: Proxy) -> None:
    before = counts(proxy, "checks")
    assert proxy.ask("/direct", "checks", headers="x-check: 1\r\n").status == 500
    assert counts(proxy, "checks") == before


def test_old_failures_are_forgotten(proxy: Proxy) -> None:
    answer(proxy, "/bad", 500)
    with proxy.client("window") as client:
        assert [ask(client, "/bad").status for _ in range(2)] == [500, 503]
        time.sleep(1.05)
        assert ask(client, "/good").status == 200


def test_a_head_of_garbage_is_counted(proxy: Proxy) -> None:
    """What is refused before the filters are there passes them on its way back."""
    before = counts(proxy, "defaults")
    assert proxy.ask("/x#y", "defaults").status == 400
    assert become(proxy, "defaults", before, rq_success=1)
