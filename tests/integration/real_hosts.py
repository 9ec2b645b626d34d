"""The program with the real data plane, and hosts whose health is as a test wants it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from program import RealProgram, cluster, listener, wait_for

_ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


class HostsProgram(RealProgram):
    """The program, one of whose clusters is used."""

    def configure(self, *clusters: dict[str, Any], use: str = "app", log: str = "") -> None:
        """One listener for the cluster `use`; `log`: its access log."""
        main = json.loads(json.dumps(listener(self.port)))
        manager = main["filter_chains"][0]["filters"][0]["typed_config"]
        routes = [{"match": {"prefix": "/"}, "route": {"cluster": use}}]
        manager["route_config"]["virtual_hosts"][0]["routes"] = routes
        if log:
            manager["access_log"] = [{"name": "log", "typed_config": {"@type": _FILE_LOG, "path": log}}]
        self.write([main], list(clusters))

    def flags(self) -> dict[int, str]:
        """The health flags of the hosts of `app` by their ports."""
        found = re.findall(r"^app::127\.0\.0\.1:(\d+)::health_flags::(.*)$", self.admin("/clusters"), re.M)
        return {int(port): flags for port, flags in found}

    def statuses(self, count: int) -> set[int]:
        """Of the answers to so many requests on connections of their own, which meet all workers."""
        return {self.status() for _ in range(count)}

    def status(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        finally:
            connection.close()

    def refuse(self) -> None:
        """A reload that workers refuse."""
        before = self.log().count("the new configuration is refused")
        self.signal(signal.SIGHUP)
        wait_for(lambda: self.log().count("the new configuration is refused") > before, "the refusal")


class Host(ThreadingHTTPServer):
    """Answers with a status of its own, checks of its health and everything else.

    delay  seconds before the answer to a check
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = self.health = 200
        self.delay = 0.0
        self.requests = self.checks = 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """The program was killed."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host: Any = self.server
        checked = self.path == "/health"
        host.checks += checked
        host.requests += not checked
        time.sleep(host.delay if checked else 0)
        self.send_response(host.health if checked else host.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def running_hosts(count: int) -> Iterator[list[Host]]:
    """So many, for as long as a fixture lasts."""
    found = [Host() for _ in range(count)]
    yield found
    for host in found:
        host.shutdown()
        host.server_close()


def real_program(directory: Path) -> Iterator[HostsProgram]:
    """One that is not started yet, for as long as a fixture lasts."""
    one = HostsProgram(directory, "twistproxy")
    yield one
    one.clean()


def app(hosts: list[Host], name: str = "app", **more: Any) -> dict[str, Any]:
    found = cluster(name)
    found["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": one.server_port}}}}
        for one in hosts
    ]
    found["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    return {**found, **more}


def checks(interval: str = "0.05s") -> dict[str, Any]:
    check = {
        "timeout": "5s",
        "interval": interval,
        "no_traffic_interval": interval,
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/health"},
    }
    return {"health_checks": [check]}


def eds(program: HostsProgram) -> dict[str, Any]:
    """A cluster `app`, whose endpoints `write` gives."""
    found = cluster("app")
    del found["load_assignment"]
    source = {
        "path_config_source": {"path": str(program.directory / "app.json")},
        "resource_api_version": "V3",
    }
    return {**found, "type": "EDS", "eds_cluster_config": {"eds_config": source}}


def write(program: HostsProgram, hosts: list[Host]) -> None:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": one.server_port}}}}
        for one in hosts
    ]
    assignment = {
        "@type": _ASSIGNMENT,
        "cluster_name": "app",
        "endpoints": [{"lb_endpoints": endpoints}],
    }
    new = program.directory / "new.json"
    new.write_text(json.dumps({"resources": [assignment]}))
    os.replace(new, program.directory / "app.json")
