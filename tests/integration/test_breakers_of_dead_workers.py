"""What a worker had in use when it was killed is free again."""

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
from program import Program, RealProgram, cluster, listener, wait_for

pytestmark = pytest.mark.integration
LIMIT = 6


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A listener that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def program(tmp_path: Path, silent_port: int) -> Iterator[Program]:
    one = RealProgram(tmp_path, "twistproxy")
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}
    main = json.loads(json.dumps(listener(one.port)))
    manager = main["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["routes"] = [route]
    app: dict[str, Any] = cluster("app")
    app["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"][
        "port_value"
    ] = silent_port
    app["circuit_breakers"] = {"thresholds": [{"max_requests": LIMIT, "track_remaining": True}]}
    one.write([main], [app])
    yield one
    one.clean()


def waiting_request(program: Program) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=30)
    connection.request("GET", "/")
    return connection


def remaining(program: Program) -> int:
    return program.stat("cluster.app.circuit_breakers.default.remaining_rq")


def test_places_of_a_killed_worker_are_free(program: Program) -> None:
    program.start()
    waiting = [waiting_request(program) for _ in range(LIMIT)]
    wait_for(lambda: remaining(program) == 0, "all places to be taken")
    refused = waiting_request(program)
    assert refused.getresponse().status == 503
    refused.close()
    for name in ("worker 0", "worker 1"):
        former = program.children()[name]
        os.kill(former, signal.SIGKILL)
        wait_for(lambda: program.children().get(name) not in (None, former), "the next worker")  # noqa: B023
    wait_for(lambda: remaining(program) == LIMIT, "all places to be free")
    for connection in waiting:
        connection.close()
    more = [waiting_request(program) for _ in range(LIMIT)]
    wait_for(lambda: remaining(program) == 0, "all places to be taken again")
    for connection in more:
        connection.close()
