"""Retry and hedge policies and time limits: what is read, what is refused and where."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.retry import RequestPlan, ResetHeader
from twistproxy.model.route import ClusterAction
from twistproxy.model.server_options import ServerOptions

TYPE = "type.googleapis.com/"
MANAGER = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = TYPE + "envoy.extensions.filters.http.router.v3.Router"


def plan(action: str = "{}", route: str = "{}", host: str = "{}", router: str = "{}") -> RequestPlan | None:
    """The plan of one route; each argument is YAML of further fields."""
    manager = {
        "@type": MANAGER,
        "stat_prefix": "x",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "v",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "route": {"cluster": "a", **_read(action)},
                            **_read(route),
                        }
                    ],
                    **_read(host),
                }
            ]
        },
        "http_filters": [{"name": "r", "typed_config": {"@type": ROUTER, **_read(router)}}],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}
    chain = {"filters": [{"name": "h", "typed_config": manager}]}
    resources = {
        "listeners": [{"name": "l", "address": address, "filter_chains": [chain]}],
        "clusters": [{"name": "a", "connect_timeout": "1s", "load_assignment": {"cluster_name": "a"}}],
    }
    document = {"admin": {"address": address}, "static_resources": resources}
    built = build_bootstrap(load_text(yaml.safe_dump(document), "c.yaml"), ServerOptions())
    (host_settings,) = built.listeners[0].filter_chain.http_manager.routes.virtual_hosts
    found = host_settings.routes[0].action
    assert isinstance(found, ClusterAction)
    return found.plan


def _read(text: str) -> Any:
    return yaml.safe_load(text)


def policy(text: str) -> Any:
    found = plan("{retry_policy: {" + text + "}}")
    assert found is not None
    return found.retry


def test_nothing_special() -> None:
    assert plan() is None
    assert plan("{retry_policy: {}}") is None
    assert plan("{timeout: 3s, flush_timeout: 1s}") is None


def test_the_nearest_policy_is_taken_whole() -> None:
    host = "{retry_policy: {retry_on: 5xx, num_retries: 7}, hedge_policy: {hedge_on_per_try_timeout: true}}"
    found = plan(host=host)
    assert found is not None and found.hedge and found.retry.num_retries == 7
    found = plan("{retry_policy: {retry_on: reset}, hedge_policy: {}}", host=host)
    assert found is not None and not found.hedge and found.retry.num_retries == 1


def test_back_off() -> None:
    assert (policy("retry_on: 5xx").base_interval, policy("retry_on: 5xx").max_interval) == (0.0, 0.0)
    found = policy("retry_back_off: {base_interval: 0.02s}")
    assert (found.base_interval, found.max_interval) == (0.02, 0.2)
    found = policy("retry_back_off: {base_interval: 0.0001s, max_interval: 0.0002s}")
    assert (found.base_interval, found.max_interval) == (0.001, 0.001)


def test_reset_headers() -> None:
    found = policy(
        "rate_limited_retry_back_off: {reset_headers: [{name: A, format: UNIX_TIMESTAMP}, {name: b}]}"
    )
    assert found.reset_headers == (ResetHeader(b"a", True), ResetHeader(b"b"))
    assert found.reset_max_interval == 300.0


def test_one_attempt() -> None:
    for text in ("{idle_timeout: 1s}", "{}"):
        found = plan(text, route="{request_body_buffer_limit: 5}")
        assert found is not None and found.one_attempt
    found = plan("{max_stream_duration: {max_stream_duration: 1s}}")
    assert found is not None and not found.one_attempt
    assert found.replaces_timeout


_OMIT = (
    "{name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.retry.host.omit_host_metadata.v3."
    "OmitHostMetadataConfig, metadata_match: {filter_metadata: {envoy.lb: {a: b}}}}}"
)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("retry_back_off: {base_interval: 2s, max_interval: 1s}", "retry_back_off.max_interval"),
        ("retry_host_predicate: [{name: x}]", "retry_host_predicate[0]"),
        (f"retry_host_predicate: [{_OMIT}, {_OMIT}]", "retry_host_predicate[1]"),
        ("retry_priority: {name: x}", "retry_priority"),
    ],
)
def test_refused(text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy(text)
    paths = [problem.path for problem in caught.value.problems]
    assert [path.rpartition("retry_policy.")[2] for path in paths] == [where]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"action": "{hedge_policy: {initial_requests: 2}}"}, "hedge_policy.initial_requests"),
        (
            {"action": "{hedge_policy: {additional_request_chance: {numerator: 5}}}"},
            "hedge_policy.additional_request_chance",
        ),
        (
            {"action": f"{{retry_policy_typed_config: {{'@type': {ROUTER}}}}}"},
            "route.retry_policy_typed_config",
        ),
        ({"host": f"{{retry_policy_typed_config: {{'@type': {ROUTER}}}}}"}, "retry_policy_typed_config"),
        ({"router": "{strict_check_headers: [x-envoy-other]}"}, "typed_config.strict_check_headers[0]"),
    ],
)
def test_refused_elsewhere(fields: dict[str, str], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(**fields)
    assert any(problem.path.endswith(where) for problem in caught.value.problems), caught.value.problems
