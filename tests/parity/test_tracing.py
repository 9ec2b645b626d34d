"""What `tracing` does without a provider: request ids are marked, and what was decided is counted."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener, read

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - match: {path: "/direct"}
    direct_response: {status: 200}
  - match: {prefix: "/x"}
    route: {cluster: app}
"""
INTERNAL = {"internal_address_config": {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}}


def percent(**shares: float) -> Config:
    return {"tracing": {name: {"value": value} for name, value in shares.items()}, **INTERNAL}


def uuid(**fields: Any) -> Config:
    kind = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
    return {"request_id_extension": {"typed_config": {"@type": kind, **fields}}}


OPTIONS: dict[str, Config] = {
    "none": INTERNAL,
    "all": percent(),
    "no_random": percent(random_sampling=0),
    "some": percent(random_sampling=20),
    "no_client": percent(random_sampling=0, client_sampling=0),
    "nothing": percent(overall_sampling=0),
    "few": percent(overall_sampling=50),
    "plain_ids": {**percent(), **uuid(pack_trace_reason=False)},
    "not_by_id": {**percent(), **uuid(use_request_id_for_trace_sampling=False)},
    "edge": {**percent(), "use_remote_address": True, "preserve_external_request_id": True},
    "no_ids": {**percent(), "generate_request_id": False},
    "runtime": percent(),
}


def configure(proxy: Proxy) -> Config:
    listeners = [
        listener(name, proxy.port(name), read(VIRTUAL_HOSTS), **fields) for name, fields in OPTIONS.items()
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


#: Its first digits are 178956970, of which % 10000 is 6970 and % 100 is 70.
ID = "0aaaaaaa-bbbb-{}ccc-8ddd-eeeeeeeeeeee"
NAMES = ("client_enabled", "health_check", "not_traceable", "random_sampling", "service_forced")
CLIENT = "x-client-trace-id: abc\r\n"
FORCED = "x-forwarded-for: 10.0.0.1\r\nx-envoy-force-trace: true\r\n"


def counts(proxy: Proxy, name: str) -> dict[str, int]:
    return {each: proxy.stat(f"http.{name}.tracing.{each}") for each in NAMES}


@pytest.mark.parametrize(
    ("name", "given", "headers", "arrives", "counted"),
    [
        ("none", "4", CLIENT, "4", ""),
        ("none", "4", FORCED, "4", ""),
        ("all", "4", "", "9", "random_sampling"),
        ("all", "9", "", "9", "random_sampling"),
        ("all", "a", "", "a", "service_forced"),
        ("all", "b", "", "b", "client_enabled"),
        ("all", "4", CLIENT, "b", "client_enabled"),
        ("all", "9", CLIENT, "9", "random_sampling"),
        ("all", "4", FORCED, "a", "service_forced"),
        ("all", "4", CLIENT + FORCED, "b", "client_enabled"),
        ("all", "4", "x-envoy-force-trace: true\r\n", "9", "random_sampling"),
        ("all", "1", "", "9", "random_sampling"),
        ("no_random", "4", "", "4", "not_traceable"),
        ("no_random", "1", "", "1", "not_traceable"),
        ("no_random", "4", CLIENT, "b", "client_enabled"),
        ("some", "4", "", "4", "not_traceable"),
        ("no_client", "4", CLIENT, "4", "not_traceable"),
        ("no_client", "4", CLIENT + FORCED, "a", "service_forced"),
        ("nothing", "9", "", "4", "not_traceable"),
        ("nothing", "4", CLIENT, "4", "not_traceable"),
        ("few", "9", "", "4", "not_traceable"),
        ("few", "a", "", "4", "not_traceable"),
        ("plain_ids", "4", "", "4", "random_sampling"),
        ("plain_ids", "a", "", "a", "random_sampling"),
        ("not_by_id", "4", FORCED, "4", "random_sampling"),
        ("edge", "a", "", "9", "random_sampling"),
        ("no_ids", "4", "", "9", "random_sampling"),
    ],
)
def test_ids_are_marked(
    proxy: Proxy, name: str, given: str, headers: str, arrives: str, counted: str
) -> None:
    before = counts(proxy, name)
    response = proxy.ask("/x", name, headers=f"x-request-id: {ID.format(given)}\r\n{headers}")
    seen = proxy.origin().take()
    assert seen["x-request-id"] == ID.format(arrives)
    assert seen["x-client-trace-id"] == ("abc" if CLIENT in headers else None)
    # Whoever forces a trace, and may, is told its id.
    assert response["x-request-id"] == (ID.format(arrives) if FORCED in headers else None)
    after = counts(proxy, name)
    assert {each for each in NAMES if after[each] != before[each]} == ({counted} if counted else set())


@pytest.mark.parametrize("given", ["short", "zzzzzzzz-bbbb-4ccc-8ddd-eeeeeeeeeeee"])
def test_other_ids_are_left_alone(proxy: Proxy, given: str) -> None:
    before = proxy.stat("http.all.tracing.not_traceable")
    proxy.ask("/x", "all", headers=f"x-request-id: {given}\r\n")
    assert proxy.origin().take()["x-request-id"] == given
    assert proxy.stat("http.all.tracing.not_traceable") == before + 1


def test_ids_that_are_no_uuids_decide_too(proxy: Proxy) -> None:
    before = proxy.stat("http.all.tracing.random_sampling")
    proxy.ask("/x", "all", headers="x-request-id: 12345678\r\n")
    assert proxy.origin().take()["x-request-id"] == "12345678"
    assert proxy.stat("http.all.tracing.random_sampling") == before + 1


def test_new_ids_are_marked(proxy: Proxy) -> None:
    for name, mark in (("all", "9"), ("no_random", "4"), ("none", "4")):
        proxy.ask("/x", name)
        found = proxy.origin().take()["x-request-id"]
        assert found is not None and found[14] == mark


def test_no_id_no_trace(proxy: Proxy) -> None:
    before = proxy.stat("http.no_ids.tracing.not_traceable")
    proxy.ask("/x", "no_ids")
    assert proxy.origin().take()["x-request-id"] is None
    assert proxy.stat("http.no_ids.tracing.not_traceable") == before + 1


@pytest.mark.parametrize("path", ["/direct", "/no-route"])
def test_answers_of_our_own_are_counted(proxy: Proxy, path: str) -> None:
    before = proxy.stat("http.all.tracing.random_sampling")
    proxy.ask(path, "all")
    assert proxy.stat("http.all.tracing.random_sampling") == before + 1


def test_traces_of_others_pass(proxy: Proxy) -> None:
    """Without a provider nobody writes these."""
    given = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    proxy.ask("/x", "all", headers="".join(f"{name}: {value}\r\n" for name, value in given.items()))
    seen = proxy.origin().take()
    assert {name: seen[name] for name in given} == given


def test_zero_counters_are_shown(proxy: Proxy) -> None:
    assert counts(proxy, "none") == dict.fromkeys(NAMES, 0)
