"""What is wrong with chains of HTTP filters and with what routes say about them."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from twistproxy.config.fields import Reader, Report
from twistproxy.config.http_filters import build_filter_level, build_http_filters, with_outer
from twistproxy.config.types import message_class
from twistproxy.config.upgrades import build_manager_upgrades
from twistproxy.model.http_filters import (
    BufferSettings,
    FilterLevel,
    HttpFilterSettings,
    QueryMutation,
    RouteFilter,
)
from twistproxy.model.upgrade import UpgradeSettings

TYPES = "type.googleapis.com/envoy.extensions.filters.http."
ROUTER: dict[str, Any] = {"name": "router", "typed_config": {"@type": f"{TYPES}router.v3.Router"}}
BUFFER = {
    "name": "b",
    "typed_config": {"@type": f"{TYPES}buffer.v3.Buffer", "max_request_bytes": 5},
}
GRPC = {"@type": f"{TYPES}grpc_web.v3.GrpcWeb"}
PER_ROUTE = {"@type": f"{TYPES}buffer.v3.BufferPerRoute", "buffer": {"max_request_bytes": 7}}
FILTER_CONFIG = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig"}


def reader(type_name: str, content: dict[str, Any]) -> Reader:
    made = message_class(type_name)
    assert made is not None
    for one in (GRPC, PER_ROUTE, FILTER_CONFIG, ROUTER["typed_config"], BUFFER["typed_config"]):
        assert isinstance(one, dict)
        message_class(one["@type"].rpartition("/")[2])
    message_class("envoy.extensions.filters.http.health_check.v3.HealthCheck")
    return Reader(ParseDict(content, made()), Report())


def problems(top: Reader) -> list[str]:
    return [f"{one.path}: {one.message}" for one in [*top.report.problems, *top.report.unread(top)]]


def chain(*filters: dict[str, Any]) -> tuple[tuple[HttpFilterSettings, ...], list[str]]:
    name = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    top = reader(name, {"http_filters": list(filters)})
    found, router = build_http_filters(top, "us")
    if router is not None:
        router.ignore("suppress_envoy_headers")
    return found, problems(top)


def level(**configs: dict[str, Any]) -> tuple[FilterLevel, list[str]]:
    top = reader("envoy.config.route.v3.Route", {"typed_per_filter_config": configs})
    return build_filter_level(top), problems(top)


def test_a_chain() -> None:
    found, wrong = chain(BUFFER, {**BUFFER, "name": "c", "disabled": True}, ROUTER)
    settings = BufferSettings(5)
    assert (found, wrong) == (
        (HttpFilterSettings("b", settings), HttpFilterSettings("c", settings, True)),
        [],
    )


def test_what_is_optional_may_be_unknown() -> None:
    found, wrong = chain({"name": "g", "typed_config": GRPC, "is_optional": True}, ROUTER)
    assert (found, wrong) == ((), [])


@pytest.mark.parametrize(
    ("filters", "problem"),
    [
        (
            [BUFFER],
            "http_filters[0]: Error: non-terminal filter named b of type envoy.filters.http.buffer is the last"
            " filter in a http filter chain.",
        ),
        (
            [ROUTER, BUFFER, ROUTER],
            "http_filters[0]: Error: terminal filter named router of type envoy.filters.http.router must be the last"
            " filter in a http filter chain.",
        ),
        (
            [{**ROUTER, "disabled": True}],
            "http_filters[0].disabled: Error: the last (terminal) filter (router) in the chain cannot be disabled by"
            " default.",
        ),
        ([{"name": "x"}, ROUTER], "http_filters[0].typed_config: a typed_config is expected"),
        (
            [{"name": "g", "typed_config": GRPC}, ROUTER],
            "http_filters[0].typed_config: the HTTP filter envoy.extensions.filters.http.grpc_web.v3.GrpcWeb is not"
            " implemented",
        ),
    ],
)
def test_mistakes_in_chains(filters: list[dict[str, Any]], problem: str) -> None:
    assert chain(*filters)[1] == [problem]


def test_what_a_route_says() -> None:
    found, wrong = level(
        a=PER_ROUTE,
        b={**FILTER_CONFIG, "disabled": True},
        c={**FILTER_CONFIG, "config": PER_ROUTE},
        d={"@type": PER_ROUTE["@type"], "disabled": True},
        e={**FILTER_CONFIG, "config": GRPC, "is_optional": True},
    )
    assert wrong == []
    assert found == {
        "a": RouteFilter(BufferSettings(7)),
        "b": RouteFilter(None, True),
        "c": RouteFilter(BufferSettings(7)),
        "d": RouteFilter(None, True),
    }


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (FILTER_CONFIG, ".config: Empty route/virtual host per filter configuration for x filter"),
        (
            BUFFER["typed_config"],
            ": Unable to unpack as envoy.extensions.filters.http.buffer.v3.BufferPerRoute: it is a"
            " envoy.extensions.filters.http.buffer.v3.Buffer",
        ),
        (
            ROUTER["typed_config"],
            ": The filter x doesn't support virtual host or route specific configurations",
        ),
        (
            {"@type": f"{TYPES}health_check.v3.HealthCheck"},
            ": The filter x doesn't support virtual host or route specific configurations",
        ),
        (GRPC, ": the HTTP filter of envoy.extensions.filters.http.grpc_web.v3.GrpcWeb is not implemented"),
    ],
)
def test_mistakes_of_routes(config: dict[str, Any], problem: str) -> None:
    assert level(x=config)[1] == [f'typed_per_filter_config["x"]{problem}']


def test_levels_that_say_nothing_are_left_out() -> None:
    outer: tuple[FilterLevel, ...] = ({"a": RouteFilter()},)
    assert with_outer({}, outer) is outer
    assert with_outer({"b": RouteFilter()}, outer) == ({"b": RouteFilter()}, {"a": RouteFilter()})


def test_the_deprecated_form_of_a_query_mutation() -> None:
    name = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"

    def mutation(value: str) -> dict[str, Any]:
        entry = {"append": {"entry": {"key": "k", "value": value}}}
        config = {"@type": f"type.googleapis.com/{name}", "mutations": {"query_parameter_mutations": [entry]}}
        return {"name": "m", "typed_config": config}

    assert message_class(name) is not None
    found, wrong = chain(mutation("dg=="), ROUTER)
    assert wrong == []
    assert found[0].settings.query == (QueryMutation("k", "v", "APPEND_IF_EXISTS_OR_ADD"),)
    found, wrong = chain(mutation("/w=="), ROUTER)
    assert [one.rpartition(": ")[2] for one in wrong] == ["is not UTF-8 text"]


def upgrade(*filters: dict[str, Any], router: Any = ROUTER) -> tuple[tuple[UpgradeSettings, ...], list[str]]:
    name = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    config = {"upgrade_type": "WebSocket", "filters": list(filters)}
    top = reader(name, {"http_filters": [router], "upgrade_configs": [config]})
    _, own = build_http_filters(top, "us")
    assert own is not None
    own.ignore_all()
    return build_manager_upgrades(top, own, "us"), problems(top)


def test_upgrades_with_a_chain_of_their_own() -> None:
    buffer = HttpFilterSettings("b", BufferSettings(5))
    assert upgrade(BUFFER, ROUTER) == ((UpgradeSettings("websocket", True, (buffer,)),), [])
    assert upgrade(ROUTER) == ((UpgradeSettings("websocket", True, ()),), [])
    assert upgrade() == ((UpgradeSettings("websocket"),), [])
    assert upgrade(BUFFER)[1] == [
        "upgrade_configs[0].filters[0]: Error: non-terminal filter named b of type envoy.filters.http.buffer is the"
        " last filter in a http upgrade filter chain."
    ]
    other = {"name": "r", "typed_config": {**ROUTER["typed_config"], "suppress_envoy_headers": True}}
    assert upgrade(other)[1] == [
        "upgrade_configs[0].filters: the router must have the settings that it has in http_filters"
    ]
