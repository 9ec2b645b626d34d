"""Endpoints that change all the time, and processes that stop and die meanwhile: what every worker ends up with.

The real program, data plane and all.  One origin listens on all addresses of 127.0.0.0/8 and says on which it was
asked.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from program import Program, listener, wait_for

pytestmark = pytest.mark.integration

#: Connections from which the kernel hardly ever leaves out one of two workers.
CONNECTIONS = 14
#: Endpoints that get requests; the others are of a lower priority.
FIRST = 4


class Origin(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.connection.getsockname()[0].encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    def __init__(self) -> None:
        super().__init__(("0.0.0.0", 0), self.Handler)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class Sidecar(Program):
    """The program with one EDS cluster, and what a client of it sees."""

    def __init__(self, directory: Path, origin_port: int) -> None:
        super().__init__(directory)
        self.origin_port = origin_port
        self.file = directory / "app.json"
        self.connections: list[HTTPConnection] = []
        self.update([])
        source = {"path_config_source": {"path": str(self.file)}, "resource_api_version": "V3"}
        cluster = {"name": "app", "type": "EDS", "eds_cluster_config": {"eds_config": source}}
        made: dict[str, Any] = listener(self.port)
        manager = made["filter_chains"][0]["filters"][0]["typed_config"]
        host = {"name": "all", "domains": ["*"]}
        host["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]
        made["filter_chains"] = [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {**manager, "route_config": {"virtual_hosts": [host]}},
                    }
                ]
            }
        ]
        self.write([made], [cluster])

    def command(self, *twistd: str) -> list[str]:
        twistd = twistd or ("-n", "--pidfile=")
        program = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        return [*program, *twistd, "twistproxy", "-c", str(self.config), *self.options]

    def update(self, hosts: list[str]) -> None:
        """The endpoints are at these addresses from now on; the first few take the requests."""
        members = [
            {"endpoint": {"address": {"socket_address": {"address": host, "port_value": self.origin_port}}}}
            for host in hosts
        ]
        assignment = {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": "app",
            "endpoints": [
                {"priority": 0, "lb_endpoints": members[:FIRST]},
                {"priority": 1, "lb_endpoints": members[FIRST:]},
            ],
        }
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({"resources": [assignment]}))
        new.rename(self.file)

    def read(self, hosts: list[str]) -> None:
        """Update, and wait until the file was read."""
        before = self.log().count("app.json changed")
        self.update(hosts)
        wait_for(lambda: self.log().count("app.json changed") > before, "the file to be read")

    def kill_discovery(self) -> None:
        former = self.children()["discovery"]
        os.kill(former, signal.SIGKILL)
        wait_for(lambda: self.children().get("discovery") != former, "its end")

    def ask(self) -> None:
        """Connect to all workers."""
        self.connections = [self.connect() for _ in range(CONNECTIONS)]

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        self.clean()

    def asked(self, connection: HTTPConnection) -> list[str]:
        """Who answers as many requests as there are hosts for them: each of them, if they are taken in turn."""
        found = []
        for _ in range(FIRST):
            connection.request("GET", "/")
            response = connection.getresponse()
            text = response.read().decode()
            found.append(text if response.status == 200 else str(response.status))
        return sorted(found)

    def has(self, hosts: list[str]) -> bool:
        """Whether all workers use exactly these."""
        first = sorted(hosts[:FIRST])
        if any(self.asked(connection) != first for connection in self.connections):
            return False
        shown = {
            line.split("::")[1].rpartition(":")[0]
            for line in self.admin("/clusters").splitlines()
            if "::cx_active::" in line
        }
        return shown == set(hosts)

    def becomes(self, hosts: list[str]) -> None:
        wait_for(lambda: self.has(hosts), "all workers to use the newest endpoints")


def state(number: int, size: int = 300) -> list[str]:
    """The endpoints after an update: of one to the next, most stay, and those that take the requests change."""
    first = [f"127.{10 + at}.{number // 250}.{number % 250 + 1}" for at in range(FIRST)]
    return first + [
        f"127.1.{at // 250}.{at % 250 + 1}" for at in range(number % 7, size) if at % 17 != number % 17
    ]


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    origin = Origin()
    program = Sidecar(tmp_path_factory.mktemp("sidecar"), origin.server_port)
    try:
        program.update(state(0))
        program.start()
        program.ask()
        program.becomes(state(0))
        yield program
    finally:
        program.close()
        origin.close()


def test_a_burst_of_updates_reaches_all_workers_exactly(sidecar: Sidecar) -> None:
    for number in range(1, 60):
        sidecar.update(state(number))
    sidecar.becomes(state(59))
    sidecar.update(state(60, 2500))
    sidecar.becomes(state(60, 2500))
    for number in range(61, 80):
        sidecar.update(state(number, 2500))
    sidecar.becomes(state(79, 2500))


def test_a_worker_that_was_stopped_catches_up(sidecar: Sidecar) -> None:
    stopped = sidecar.children()["worker 0"]
    before = sidecar.stat("cluster.app.update_success")
    os.kill(stopped, signal.SIGSTOP)
    try:
        for number in range(100, 110):
            sidecar.read(state(number, 2000 + number))
    finally:
        os.kill(stopped, signal.SIGCONT)
    sidecar.becomes(state(109, 2109))
    assert sidecar.children()["worker 0"] == stopped
    assert sidecar.stat("cluster.app.update_success") > before


def test_a_discovery_process_that_dies_in_the_middle_is_missed_by_nobody(sidecar: Sidecar) -> None:
    workers = [sidecar.children()[f"worker {slot}"] for slot in (0, 1)]
    for number in range(200, 230):
        sidecar.update(state(number))
        if number % 10 == 5:
            sidecar.kill_discovery()
            for connection in sidecar.connections:
                assert not any(answer.startswith("5") for answer in sidecar.asked(connection))
            wait_for(lambda: "discovery" in sidecar.children(), "its successor")
    sidecar.becomes(state(229))
    assert [sidecar.children()[f"worker {slot}"] for slot in (0, 1)] == workers


def test_all_gone_and_back(sidecar: Sidecar) -> None:
    for number in (300, 301):
        sidecar.update([])
        wait_for(
            lambda: all(sidecar.asked(connection) == ["503"] * FIRST for connection in sidecar.connections),
            "nobody to be there",
        )
        assert sidecar.stat("cluster.app.membership_total") == 0
        sidecar.update(state(number))
        sidecar.becomes(state(number))
