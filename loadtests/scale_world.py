"""What the scale tests are about: clusters with many endpoints, which lie in files that both proxies watch.

All endpoints are addresses of 127.0.0.0/8 on which one origin listens; its answers say in `x-host` which of them was
asked.  A *marker* among them, to which a sixth of the requests goes, is at another address after each update: so an
answer tells which update its worker works with.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.configs import _MANAGER, _nginx_user
from loadtests.peers import RunningPeer
from loadtests.processes import ProcessUnderTest
from loadtests.tools import ROOT, find_program, free_ports

_ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
#: So many endpoints take nearly all requests, the marker among them: connections to them are kept and used again.
_BUSY = 6
_HEAVY = 100_000
#: Of the others so many are replaced in an update, and so many get another weight.
_REPLACED = 5


def address(number: int) -> str:
    """The `number`th address, from 127.1.0.0 on."""
    return f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def marker_address(update: int) -> str:
    """Where the marker is after this update."""
    return f"127.{200 + (update >> 16)}.{update >> 8 & 255}.{update & 255}"


def update_of(host: str) -> int | None:
    """The update whose marker is at this address; None for other endpoints."""
    _, first, second, third = (int(part) for part in host.split("."))
    return (first - 200) << 16 | second << 8 | third if first >= 200 else None


@dataclass
class Assignment:
    """The endpoints of one cluster, written to `path` in Envoy's JSON.  `update()` changes eleven of them.

    even  all weigh the same: what a hash ring needs not to become huge
    """

    cluster: str
    size: int
    port: int
    path: Path
    even: bool = False
    number: int = 0
    _lines: list[str] = field(default_factory=list)
    _next: int = 0

    def __post_init__(self) -> None:
        self._lines = [self._line(address(at), self._weight(at)) for at in range(self.size)]
        self._next = self.size
        self._lines[0] = self._line(marker_address(0), self._weight(0))

    def _weight(self, at: int) -> int:
        return 1 if self.even or at >= _BUSY else _HEAVY

    def _line(self, host: str, weight: int) -> str:
        socket = f'{{"address":"{host}","port_value":{self.port}}}'
        return (
            f'{{"endpoint":{{"address":{{"socket_address":{socket}}}}},'
            f'"health_status":"HEALTHY","load_balancing_weight":{weight}}}'
        )

    def update(self) -> int:
        """Change it, and write it; its number."""
        self.number += 1
        self._lines[0] = self._line(marker_address(self.number), self._weight(0))
        others = self.size - _BUSY
        if others >= 2 * _REPLACED:
            for step in range(_REPLACED):
                at = _BUSY + (self.number * _REPLACED + step) % (others // 2)
                self._lines[at] = self._line(address(self._next), 1)
                self._next += 1
                at = _BUSY + others // 2 + (self.number * _REPLACED + step) % (others // 2)
                weight = 1 if self.even or self.number % 2 else 2
                host = json.loads(self._lines[at])["endpoint"]["address"]["socket_address"]["address"]
                self._lines[at] = self._line(host, weight)
        self.write()
        return self.number

    def write(self) -> None:
        """Write the file beside its place, and move it there."""
        new = self.path.with_name(self.path.name + ".new")
        new.write_text(
            f'{{"version_info":"{self.number}","resources":[{{"@type":"{_ASSIGNMENT}",'
            f'"cluster_name":"{self.cluster}","endpoints":[{{"lb_endpoints":[\n'
            + ",\n".join(self._lines)
            + "\n]}]}]}"
        )
        os.replace(new, self.path)


@dataclass(frozen=True)
class World:
    """The files of one proxy, and the cluster that is updated."""

    directory: Path
    app: Assignment
    clusters: int
    policy: str
    health_checks: bool


def make_world(
    directory: Path,
    origin_port: int,
    endpoints: int,
    clusters: int = 1,
    policy: str = "ROUND_ROBIN",
    health_checks: bool = False,
) -> World:
    """`clusters` of `endpoints` each; requests go to the first, "app".  Only that one's endpoints lie in a file: Envoy
    needs an inotify descriptor for each file, of which Linux gives a user 128."""
    directory.mkdir(parents=True, exist_ok=True)
    even = policy != "ROUND_ROBIN"
    app = Assignment("app", endpoints, origin_port, directory / "app.json", even)
    app.write()
    return World(directory, app, clusters, policy, health_checks)


def _static_cluster(world: World, name: str) -> dict[str, Any]:
    members = [
        {"endpoint": {"address": {"socket_address": {"address": address(at), "port_value": world.app.port}}}}
        for at in range(world.app.size)
    ]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": members}]},
    }


def _discovered_cluster(world: World, name: str) -> dict[str, Any]:
    path = {"path": str(world.directory / f"{name}.json")}
    limits = {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}
    cluster: dict[str, Any] = {
        "name": name,
        "type": "EDS",
        "connect_timeout": "5s",
        "lb_policy": world.policy,
        "eds_cluster_config": {"eds_config": {"path_config_source": path, "resource_api_version": "V3"}},
        "circuit_breakers": {"thresholds": [limits]},
    }
    if world.health_checks:
        cluster["health_checks"] = [
            {
                "timeout": "1s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/1k"},
            }
        ]
    return cluster


def _configuration(world: World, port: int, admin_port: int) -> dict[str, Any]:
    def at(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    names = ["app", *(f"other-{at}" for at in range(1, world.clusters))]
    routes: list[dict[str, Any]] = [
        {"match": {"prefix": f"/{name}/"}, "route": {"cluster": name}} for name in names[1:]
    ]
    action: dict[str, Any] = {"cluster": "app", "timeout": "60s"}
    if world.policy != "ROUND_ROBIN":
        action["hash_policy"] = [{"header": {"header_name": ":path"}}]
    routes.append({"match": {"prefix": "/"}, "route": action})
    manager = {
        "@type": f"type.googleapis.com/{_MANAGER}",
        "stat_prefix": "ingress",
        "codec_type": "HTTP1",
        "route_config": {
            "name": "local",
            "virtual_hosts": [{"name": "app", "domains": ["*"], "routes": routes}],
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "node": {"id": "scale", "cluster": "scale"},
        "admin": {"address": at(admin_port)},
        "static_resources": {
            "listeners": [{"name": "ingress", "address": at(port), "filter_chains": [chain]}],
            "clusters": [
                _discovered_cluster(world, "app"),
                *(_static_cluster(world, name) for name in names[1:]),
            ],
        },
    }


def start_proxy(name: str, world: World, core: int, workers: int, patience_s: float = 60.0) -> RunningPeer:
    """Start "envoy" or "twistproxy" and wait until it answers."""
    port, admin_port = free_ports(2)
    file = world.directory / f"{name}-config.json"
    file.write_text(json.dumps(_configuration(world, port, admin_port)))
    count = str(workers)
    if name == "envoy":
        command = [find_program("envoy"), "--config-path", str(file), "--concurrency", count]
        command += ["--disable-hot-restart", "--log-level", "error"]
    else:
        command = [find_program("twistd"), "-n", "--pidfile=", "twistproxy"]
        command += ["--config", str(file), "--concurrency", count]
    process = ProcessUnderTest(name, command, core, world.directory / f"{name}.log", ROOT)
    try:
        process.wait_until_serving(port, "/1k", patience_s)
    except BaseException:
        process.stop()
        raise
    return RunningPeer(process, port)


def start_scale_origin(directory: Path, core: int) -> RunningPeer:
    """An nginx on all addresses of the machine, which says on which one it was asked, and on which connection."""
    (port,) = free_ports(1)
    file = directory / "scale-origin.conf"
    body = "x" * 1024
    file.write_text(
        f"""\
daemon off; {_nginx_user()}worker_processes 1; pid {directory}/scale-origin.pid; error_log stderr error;
worker_rlimit_nofile 19000;
events {{ worker_connections 19000; }}
http {{
    access_log off; server_tokens off; keepalive_requests 1000000000; keepalive_timeout 1h;
    server {{
        listen 0.0.0.0:{port} backlog=4096;
        location / {{ add_header x-host $server_addr; add_header x-connection $connection; return 200 "{body}"; }}
    }}
}}
"""
    )
    command = [find_program("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(file)]
    process = ProcessUnderTest("origin", command, core, directory / "scale-origin.log", ROOT)
    try:
        process.wait_until_serving(port, "/1k")
    except BaseException:
        process.stop()
        raise
    return RunningPeer(process, port)
