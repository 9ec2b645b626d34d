"""What the overload manager says outlives workers, and follows reloads."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from program import Program, listener, wait_for
from test_breakers_of_dead_workers import RealProgram

pytestmark = pytest.mark.integration

_MONITORS = "type.googleapis.com/envoy.extensions.resource_monitors."
GLOBAL = "envoy.resource_monitors.global_downstream_max_connections"
LIMIT = 4


def monitor(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _MONITORS + kind, **fields}}


class Overloaded:
    """The program with a file that says how much there is to do."""

    def __init__(self, directory: Path) -> None:
        self.program: Program = RealProgram(directory, "twistproxy")
        self.file = directory / "pressure"
        self.write(0)
        stop = {"name": "a", "threshold": {"value": 0.5}}
        self.stopping = {
            "refresh_interval": "0.05s",
            "resource_monitors": [
                monitor("a", "injected_resource.v3.InjectedResourceConfig", filename=str(self.file))
            ],
            "actions": [{"name": "envoy.overload_actions.stop_accepting_requests", "triggers": [stop]}],
        }

    def write(self, pressure: float) -> None:
        self.file.write_text(str(pressure))

    def configure(self, overload: dict[str, Any] | None) -> None:
        main = json.loads(json.dumps(listener(self.program.port)))
        manager = main["filter_chains"][0]["filters"][0]["typed_config"]
        route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
        manager["route_config"]["virtual_hosts"][0]["routes"] = [route]
        self.program.write([main])
        config = json.loads(self.program.config.read_text())
        if overload is not None:
            config["overload_manager"] = overload
        self.program.config.write_text(json.dumps(config))

    def status(self) -> int:
        """Of a request on a new connection; 0 if there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.program.port, timeout=30)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def all_answer(self, status: int) -> None:
        """On connections to both workers."""
        wait_for(lambda: {self.status() for _ in range(8)} == {status}, f"answers of {status}")

    def replace_workers(self) -> None:
        for name in ("worker 0", "worker 1"):
            former = self.program.children()[name]
            os.kill(former, signal.SIGKILL)
            wait_for(lambda: self.program.children().get(name) not in (None, former), "the next worker")  # noqa: B023


@pytest.fixture
def overloaded(tmp_path: Path) -> Iterator[Overloaded]:
    made = Overloaded(tmp_path)
    yield made
    made.program.clean()


def test_workers_and_configurations_that_come_later(overloaded: Overloaded) -> None:
    overloaded.configure(overloaded.stopping)
    overloaded.program.start()
    overloaded.all_answer(200)
    overloaded.write(0.9)
    overloaded.all_answer(503)
    overloaded.replace_workers()
    overloaded.all_answer(503)
    overloaded.configure(None)
    overloaded.program.signal(signal.SIGHUP)
    overloaded.all_answer(200)
    overloaded.configure(overloaded.stopping)
    overloaded.program.signal(signal.SIGHUP)
    overloaded.all_answer(503)
    overloaded.write(0.1)
    overloaded.all_answer(200)


def test_connections_of_a_killed_worker_do_not_count(overloaded: Overloaded) -> None:
    overloaded.configure(
        {
            "resource_monitors": [
                monitor(
                    GLOBAL,
                    "downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=LIMIT,
                )
            ]
        }
    )
    program = overloaded.program.start()
    for _ in range(2):
        kept = [socket.create_connection(("127.0.0.1", program.port)) for _ in range(LIMIT)]
        wait_for(lambda: program.stat("http.fake.downstream_cx_active") == LIMIT, "connections")
        assert {overloaded.status() for _ in range(8)} == {0}
        assert program.stat(f"overload.{GLOBAL}.failed_updates") >= 8
        overloaded.replace_workers()
        overloaded.all_answer(200)
        for connection in kept:
            connection.close()
