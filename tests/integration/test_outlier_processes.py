"""Who is ejected stays so whatever happens to our processes, and failures count whichever worker saw them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from program import Program, RealProgram, cluster, listener, wait_for

pytestmark = pytest.mark.integration
ACTIVE = "cluster.app.outlier_detection.ejections_active"


class Upstream(ThreadingHTTPServer):
    """Answers with a status of its own."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.asked = 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked += 1
        self.send_response(server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def upstreams() -> Iterator[tuple[Upstream, Upstream]]:
    """One that fails, and one that does not."""
    both = Upstream(500), Upstream(200)
    yield both
    for one in both:
        one.shutdown()
        one.server_close()


@pytest.fixture
def program(tmp_path: Path, upstreams: tuple[Upstream, Upstream]) -> Iterator[Program]:
    one = RealProgram(tmp_path, "twistproxy", concurrency=3)
    write(one, upstreams, 100)
    yield one
    one.clean()


def write(program: Program, upstreams: Sequence[Upstream], timeout: int) -> None:
    """`timeout`: something of the cluster that a reload can change."""
    main = json.loads(json.dumps(listener(program.port)))
    manager = main["filter_chains"][0]["filters"][0]["typed_config"]
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]
    manager["route_config"]["virtual_hosts"][0]["routes"] = routes
    app: dict[str, Any] = cluster("app")
    app["connect_timeout"] = f"{timeout}s"
    app["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": one.server_port}}}}
        for one in upstreams
    ]
    app["outlier_detection"] = {
        "consecutive_5xx": 5,
        "max_ejection_percent": 100,
        "base_ejection_time": "3000s",
        "max_ejection_time": "3000s",
        "interval": "0.05s",
    }
    program.write([main], [app])


def status(program: Program) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=30)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def only_good_answers(program: Program) -> bool:
    return {status(program) for _ in range(12)} == {200}


def ejected(program: Program) -> bool:
    return "health_flags::/failed_outlier_check" in program.admin("/clusters")


def eject(program: Program) -> None:
    for _ in range(12):
        status(program)
    wait_for(lambda: program.stat(ACTIVE) == 1, "the ejection")
    wait_for(lambda: only_good_answers(program), "all workers to know of it")


def kill(program: Program, name: str) -> None:
    former = program.children()[name]
    os.kill(former, signal.SIGKILL)
    wait_for(lambda: program.children().get(name) not in (None, former), f"the next {name}")


def test_the_next_discovery_process_knows_who_is_ejected(
    program: Program, upstreams: tuple[Upstream, Upstream]
) -> None:
    program.start()
    eject(program)
    asked = upstreams[0].asked
    kill(program, "discovery")
    wait_for(lambda: program.stat(ACTIVE) == 1, "the next process's statistics")
    assert only_good_answers(program)
    assert ejected(program)
    assert upstreams[0].asked == asked  # not even while nobody was there to say it
    # Workers that begin after it are told, too.
    kill(program, "worker 1")
    wait_for(program.live, "the worker")
    assert only_good_answers(program)
    assert upstreams[0].asked == asked


def test_five_failures_eject_after_five(program: Program, upstreams: tuple[Upstream, Upstream]) -> None:
    write(program, upstreams[:1], 100)
    program.start()
    assert {status(program) for _ in range(4)} == {500}
    assert program.stat(ACTIVE) == 0
    status(program)
    wait_for(lambda: program.stat(ACTIVE) == 1, "the ejection")
    assert upstreams[0].asked == 5


def test_a_reload_changes_nothing(program: Program, upstreams: tuple[Upstream, Upstream]) -> None:
    program.start()
    eject(program)
    asked = upstreams[0].asked
    write(program, upstreams, 200)
    program.signal(signal.SIGHUP)
    wait_for(lambda: program.stat("cluster_manager.cluster_modified") == 1, "the reload")
    assert only_good_answers(program)
    assert ejected(program)
    assert upstreams[0].asked == asked


def test_a_worker_that_dies_takes_only_its_counts_along(
    program: Program, upstreams: tuple[Upstream, Upstream]
) -> None:
    program.start()
    for _ in range(6):
        status(program)
    for number in range(3):
        kill(program, f"worker {number}")
    wait_for(program.live, "the workers")
    eject(program)
