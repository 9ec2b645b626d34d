"""A view of a running server with canned values, and a way to ask the site without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from twistproxy.admin.channel import AdminStats
from twistproxy.admin.merge import Statistics
from twistproxy.admin.server import make_admin_site
from twistproxy.admin.stats_config import StatsConfig
from twistproxy.admin.view import DrainRequest, Json, ListenerFacts, ServerFacts
from twistproxy.observe.stats import Scope

NOW = 1795397187.447


def host(address: str, **more: Any) -> dict[str, Any]:
    """A host as a worker's snapshot has it."""
    return {
        "address": address,
        "hostname": "",
        "weight": 1,
        "zone": "",
        "region": "",
        "sub_zone": "",
        "priority": 0,
        "canary": False,
        "health": ["healthy"],
        "counters": {},
        "gauges": {},
        **more,
    }


SNAPSHOT: dict[str, Any] = {
    "counters": {"cluster.app.upstream_rq_total": 6, "cluster.app.upstream_rq_200": 6, "http.in.no_route": 0},
    "gauges": {"cluster.app.membership_total": 2, "http.in.downstream_rq_active": 0},
    "histograms": {
        "http.in.downstream_rq_time": {"0": 5, "1": 5, "2": 1, "41": 1, "43": 1, "47": 1},
        "cluster.app.upstream_rq_time": {},
    },
    "hosts": {
        "app": [
            host(
                "127.0.0.1:29970",
                region="r1",
                zone="z1",
                counters={"cx_total": 2, "rq_total": 6, "rq_success": 6},
                gauges={"cx_active": 2, "rq_active": 0},
            )
        ]
    },
    "clusters": {
        "app": {
            "added_via_api": False,
            "observability_name": "app",
            "circuit_breakers": {"default": {"max_connections": 7}, "high": {}},
        }
    },
}

BOOTSTRAP: Json = {
    "static_resources": {
        "listeners": [
            {
                "name": "ingress",
                "filter_chains": [
                    {
                        "filters": [
                            {
                                "name": "hcm",
                                "typed_config": {
                                    "@type": "type.googleapis.com/envoy.extensions.filters.network."
                                    "http_connection_manager.v3.HttpConnectionManager",
                                    "stat_prefix": "in",
                                    "route_config": {"name": "local", "virtual_hosts": []},
                                },
                            }
                        ],
                        "transport_socket": {"private_key": {"inline_string": "-----BEGIN"}},
                    }
                ],
            }
        ],
        "clusters": [{"name": "app", "type": "STATIC"}, {"name": "apple", "type": "STATIC"}],
    }
}


class FakeView:
    """An AdminView that notes what it is told."""

    def __init__(self) -> None:
        self.statistics = Statistics()
        self.statistics.report("w0", SNAPSHOT)
        self.healthy = True
        self.state = "LIVE"
        self.levels = {"admin": "info", "http": "info"}
        self.drains: list[DrainRequest] = []
        self.quits = 0
        self.reopened = 0
        self.asked = 0
        self.config = StatsConfig()
        self.unready: tuple[str, ...] = ()
        self.runtime: list[tuple[str, dict[str, str]]] = []
        self.runtime_problem = ""
        self.pending: Deferred[Statistics] | None = None

    def hold(self) -> None:
        """Answer with statistics only when `pending` is fired."""
        self.pending = Deferred()

    def collect(self, scope: Scope) -> Deferred[Statistics]:
        return self.pending if self.pending is not None else succeed(self.statistics)

    def stats_config(self) -> StatsConfig:
        return self.config

    def stats_asked(self, statistics: Statistics) -> None:
        self.asked += 1

    def facts(self) -> ServerFacts:
        return ServerFacts(
            state=self.state,
            uptime=61.9,
            epoch_uptime=9.5,
            concurrency=2,
            memory_allocated=1000,
            memory_heap_size=2000,
            initialization_ms=19,
            listeners_active=1,
            clusters_active=2,
            bootstrap_updated=NOW,
            unready=self.unready,
            counters={"listener_manager.listener_added": 1},
        )

    def wall(self) -> float:
        return NOW

    def node(self) -> Json:
        return {"id": "n1", "cluster": "c1", "locality": {"zone": "z1"}}

    def command_line_options(self) -> Json:
        return {"concurrency": 2}

    def bootstrap(self) -> Json:
        return BOOTSTRAP

    def listeners(self) -> Sequence[ListenerFacts]:
        return [
            ListenerFacts("ingress", ("127.0.0.1:29980",)),
            ListenerFacts("six", ("[::1]:29981", "/run/six.sock")),
        ]

    def log_levels(self) -> Mapping[str, str]:
        return self.levels

    def set_log_level(self, level: str, logger: str | None = None) -> None:
        for name in self.levels:
            if logger in (None, name):
                self.levels[name] = level

    def runtime_layers(self) -> Sequence[tuple[str, Mapping[str, str]]]:
        return self.runtime

    def modify_runtime(self, values: Mapping[str, str]) -> str:
        if not self.runtime_problem:
            self.runtime.append(("admin", dict(values)))
        return self.runtime_problem

    def set_healthy(self, healthy: bool) -> None:
        self.healthy = healthy

    def is_healthy(self) -> bool:
        return self.healthy

    def drain_listeners(self, request: DrainRequest) -> None:
        self.drains.append(request)

    def reopen_logs(self) -> None:
        self.reopened += 1

    def quit(self) -> None:
        self.quits += 1


@dataclass
class Reply:
    """A parsed answer; `body` is de-chunked."""

    status: int
    headers: dict[str, str]
    body: str


class Client:
    """One connection to the admin site, over memory."""

    def __init__(self, view: FakeView) -> None:
        self.log: list[str] = []
        self.stats = AdminStats(lambda: NOW)
        #: bytes, both ways
        self.received = self.sent = 0
        site = make_admin_site(view, self.stats, reactor=Clock(), access_logs=[self.log.append])
        self.transport = StringTransport()
        self.protocol = site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, method: str, path: str, version: str = "1.1", form: str = "") -> None:
        """Send a request without waiting for its answer."""
        text = f"{method} {path} HTTP/{version}\r\nHost: admin\r\nUser-Agent: test\r\n"
        if form:
            text += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n"
        text += f"\r\n{form}"
        self.received += len(text)
        self.protocol.dataReceived(text.encode())

    def take(self) -> Reply:
        """The answer that has come."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        self.sent += len(self.transport.value())
        self.transport.clear()
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = _dechunk(body)
        assert status.startswith("HTTP/1.1 ")
        return Reply(int(status.split(" ")[1]), headers, body.decode())

    def get(self, path: str) -> Reply:
        self.send("GET", path)
        return self.take()

    def post(self, path: str, form: str = "") -> Reply:
        self.send("POST", path, form=form)
        return self.take()


def _dechunk(body: bytes) -> bytes:
    result = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        result, body = result + rest[:count], rest[count + 2 :]
        if not count:
            break
    return result
