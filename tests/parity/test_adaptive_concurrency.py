"""The filter adaptive_concurrency: requests above a limit that follows the latency are refused."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from .harness import Proxy, wait_for
from .origin import Answer, raw, silent
from .settings import ROUTER, Config, access_log, bootstrap, cluster, listener
from .wire import Client

pytestmark = pytest.mark.parity

CONCURRENCY = (1, 2)

TYPE = "type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency"
FORMAT = "path=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%\n"


def gradient(interval: str = "0.05s", most: int = 1000, **rtt: object) -> Config:
    return {
        "gradient_controller_config": {
            "concurrency_limit_params": {
                "concurrency_update_interval": interval,
                "max_concurrency_limit": most,
            },
            "min_rtt_calc_params": rtt,
        }
    }


#: Each is the filter of a listener of its own.
FILTERS: dict[str, Config] = {
    # It measures for ever.
    "one": gradient(interval="60s", request_count=1000, min_concurrency=1),
    "two": {
        **gradient(interval="60s", request_count=1000, min_concurrency=2),
        "concurrency_limit_exceeded_status": {"code": 429},
    },
    "odd_status": {
        **gradient(interval="60s", request_count=1000, min_concurrency=1),
        "concurrency_limit_exceeded_status": {"code": 200},
    },
    "off": {
        **gradient(interval="60s", request_count=1000, min_concurrency=1),
        "enabled": {"default_value": True, "runtime_key": "guard.off"},
    },
    "measured": gradient(interval="60s", request_count=4, min_concurrency=5, interval_="60s"),
    "rising": gradient(most=30, fixed_value="100s"),
    "falling": gradient(interval="0.05s", fixed_value="0.001s", min_concurrency=20),
    "left": gradient(interval="60s", request_count=2, min_concurrency=5),
    "again": gradient(
        interval="60s", request_count=2, min_concurrency=2, interval_="0.2s", jitter={"value": 0}
    ),
}


def configure(proxy: Proxy) -> Config:
    def one(name: str, settings: Config) -> Config:
        rtt = settings["gradient_controller_config"]["min_rtt_calc_params"]
        if "interval_" in rtt:
            rtt = {("interval" if key == "interval_" else key): value for key, value in rtt.items()}
        elif "fixed_value" not in rtt:
            rtt = {**rtt, "interval": "60s"}
        whole = {**settings["gradient_controller_config"], "min_rtt_calc_params": rtt}
        filters: list[Config] = [
            {
                "name": "guard",
                "typed_config": {"@type": TYPE, **settings, "gradient_controller_config": whole},
            },
            {"name": "router", "typed_config": {"@type": ROUTER}},
        ]
        return listener(
            name,
            proxy.port(name),
            [{"name": "all", "domains": ["*"], "routes": [ROUTE]}],
            http_filters=filters,
            access_log=[access_log(proxy.log(name).path, FORMAT)],
        )

    layers = [
        {"name": "static", "static_layer": {"guard": {"off": False}}},
        {"name": "admin", "admin_layer": {}},
    ]
    return bootstrap(
        proxy.port("admin"),
        [one(name, settings) for name, settings in FILTERS.items()],
        [cluster("app", proxy.origin().port)],
        layered_runtime={"layers": layers},
    )


ROUTE = {"match": {"prefix": "/"}, "route": {"cluster": "app"}}


def values(proxy: Proxy, name: str) -> dict[str, int]:
    prefix = f"http.{name}.adaptive_concurrency.gradient_controller."
    return {key.removeprefix(prefix): value for key, value in proxy.stats(f"^{prefix}").items()}


def becomes(proxy: Proxy, name: str, **expected: int) -> None:
    """Wait for these values."""
    found: dict[str, int] = {}

    def reached() -> bool:
        found.update(values(proxy, name))
        return all(found[key] == value for key, value in expected.items())

    assert wait_for(reached), (found, expected)


def held(proxy: Proxy, stack: ExitStack, name: str) -> Client:
    """A request that the origin does not answer."""
    proxy.origin().on("/held", silent())
    client = stack.enter_context(proxy.client(name))
    client.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
    proxy.origin().take()
    return client


def slow(seconds: float) -> Answer:
    return raw(seconds, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def test_statistics_at_the_start(proxy: Proxy) -> None:
    assert values(proxy, "one") == {
        "burst_queue_size": 0,
        "concurrency_limit": 1,
        "gradient": 0,
        "min_rtt_calculation_active": 1,
        "min_rtt_msecs": 0,
        "rq_blocked": 0,
        "sample_rtt_msecs": 0,
    }


@pytest.mark.parametrize(
    ("name", "limit", "status"), [("one", 1, 503), ("two", 2, 429), ("odd_status", 1, 503)]
)
def test_more_than_the_limit_is_refused(proxy: Proxy, name: str, limit: int, status: int) -> None:
    before = values(proxy, name)["rq_blocked"]
    with ExitStack() as stack:
        for _ in range(limit):
            held(proxy, stack, name)
        for at in range(6):  # on connections to all workers
            response = proxy.ask(f"/refused{at}", name)
            assert (response.status, response.text) == (status, "reached concurrency limit")
        assert response["content-type"] == "text/plain"
    fields = proxy.log(name).fields("/refused0")
    assert (fields["flags"], fields["details"]) == ("-", "reached_concurrency_limit")
    assert values(proxy, name)["rq_blocked"] == before + 6
    # Those who left have made room.
    assert wait_for(lambda: proxy.ask("/good", name).status == 200)


def test_off(proxy: Proxy) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            held(proxy, stack, "off")
        assert proxy.ask("/good", "off").status == 200


def test_measuring_ends_after_so_many_requests(proxy: Proxy) -> None:
    proxy.origin().on("/slow", slow(0.05))
    for _ in range(4):
        assert values(proxy, "measured")["min_rtt_calculation_active"] == 1
        assert proxy.ask("/slow", "measured").status == 200
    becomes(proxy, "measured", min_rtt_calculation_active=0, concurrency_limit=5)
    assert 45 <= values(proxy, "measured")["min_rtt_msecs"] <= 1000


def test_the_limit_rises_while_latency_is_low(proxy: Proxy) -> None:
    assert values(proxy, "rising")["min_rtt_msecs"] == 100_000
    assert values(proxy, "rising")["min_rtt_calculation_active"] == 0
    for limit, headroom in ((8, 2), (20, 4), (30, 6), (30, 7)):
        assert proxy.ask("/good", "rising").status == 200
        becomes(proxy, "rising", concurrency_limit=limit, burst_queue_size=headroom)
    assert values(proxy, "rising")["gradient"] == 2000


def test_the_limit_falls_while_latency_is_high(proxy: Proxy) -> None:
    """With 5 ms in place of 1 ms half of the limit is left each time, but for its root, and never less than 20."""
    proxy.origin().on("/slow", slow(0.03))
    for _ in range(2):
        assert proxy.ask("/slow", "falling").status == 200
        becomes(proxy, "falling", concurrency_limit=20, burst_queue_size=3, gradient=500)
        assert values(proxy, "falling")["sample_rtt_msecs"] >= 29


def test_measured_again_and_again(proxy: Proxy) -> None:
    for _ in range(2):
        becomes(proxy, "again", min_rtt_calculation_active=1)
        for _ in range(2):
            assert proxy.ask("/good", "again").status == 200
        becomes(proxy, "again", min_rtt_calculation_active=0)


def test_what_never_came_to_its_end_is_no_sample(proxy: Proxy) -> None:
    becomes(proxy, "left", min_rtt_calculation_active=1)
    with ExitStack() as stack:
        for _ in range(3):
            held(proxy, stack, "left")
    assert wait_for(lambda: proxy.stat("http.left.downstream_rq_active") == 0)
    assert values(proxy, "left")["min_rtt_calculation_active"] == 1
    for _ in range(2):
        assert proxy.ask("/good", "left").status == 200
    becomes(proxy, "left", min_rtt_calculation_active=0)


def test_runtime(proxy: Proxy) -> None:
    """The runtime's key is that of all controllers: it is given and taken."""
    key = "adaptive_concurrency.gradient_controller.max_concurrency_limit"
    assert proxy.admin(f"/runtime_modify?{key}=7", "POST").status == 200
    try:
        assert proxy.ask("/good", "rising").status == 200
        becomes(proxy, "rising", concurrency_limit=7)
    finally:
        proxy.admin(f"/runtime_modify?{key}=", "POST")
