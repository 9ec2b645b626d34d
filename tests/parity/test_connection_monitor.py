"""The overload manager's limit of all downstream connections together."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from .harness import Proxy, wait_for
from .settings import Config, bootstrap, cluster, listener, routes_to
from .test_connection_limits import count, opened, refused

pytestmark = pytest.mark.parity

CONCURRENCY = (1, 2)
MONITORS = "type.googleapis.com/envoy.extensions.resource_monitors."
NAME = "envoy.resource_monitors.global_downstream_max_connections"


def configure(proxy: Proxy) -> Config:
    listeners = [listener(name, proxy.port(name), routes_to("app")) for name in ("main", "other", "exempt")]
    listeners[2]["ignore_global_conn_limit"] = True
    limit = {
        "@type": f"{MONITORS}downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": 4,
    }
    # With no other monitor Envoy never looks at this one.
    path = proxy.directory / "other"
    path.write_text("0.25")
    other = {"@type": f"{MONITORS}injected_resource.v3.InjectedResourceConfig", "filename": str(path)}
    config = bootstrap(
        proxy.port("admin"),
        listeners,
        [cluster("app", proxy.origin().port)],
        overload_manager={
            "refresh_interval": "0.02s",
            "resource_monitors": [
                {"name": NAME, "typed_config": limit},
                {"name": "other", "typed_config": other},
            ],
            "actions": [
                {
                    "name": "envoy.overload_actions.disable_http_keepalive",
                    "triggers": [{"name": NAME, "threshold": {"value": 1}}],
                }
            ],
        },
        layered_runtime={
            "layers": [
                # The monitor's limit counts.
                {"name": "s", "static_layer": {"overload": {"global_downstream_max_connections": 1}}},
            ]
        },
    )
    config["admin"]["ignore_global_conn_limit"] = True
    return config


def test_limit(proxy: Proxy) -> None:
    failed = f"overload.{NAME}.failed_updates"
    with ExitStack() as stack:
        first = opened(proxy, stack, "main")
        opened(proxy, stack, "other")
        assert proxy.stat_becomes(f"overload.{NAME}.pressure", 50)
        opened(proxy, stack, "main")
        assert proxy.stat_becomes(f"overload.{NAME}.pressure", 75)
        stack.enter_context(proxy.client("other"))
        assert proxy.stat_becomes(f"overload.{NAME}.pressure", 100)
        assert proxy.stat_becomes("overload.envoy.overload_actions.disable_http_keepalive.active", 1)
        before = proxy.stat(failed)
        assert all(refused(proxy, name) for name in ("main", "other") * 4)
        assert proxy.stat(failed) == before + 8
        assert count(proxy, "main", "downstream_global_cx_overflow") == 4
        assert first.send("GET /last HTTP/1.1\r\nhost: a\r\n\r\n").read()["connection"] == "close"
        first.close()
        assert wait_for(lambda: not refused(proxy, "main"))
    assert proxy.stat_becomes(f"overload.{NAME}.pressure", 0)


@pytest.mark.parametrize("text", ["x", "1.5"])
def test_a_file_that_makes_no_sense(proxy: Proxy, text: str) -> None:
    before = proxy.stat("overload.other.failed_updates")
    part = proxy.directory / "part"
    part.write_text(text)
    os.replace(part, proxy.directory / "other")
    assert wait_for(lambda: proxy.stat("overload.other.failed_updates") > before)
    assert proxy.stat("overload.other.pressure") == 25
