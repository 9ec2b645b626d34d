"""Health checks of the whole program: endpoints that flap, a discovery process that dies, a reload."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from program import RealProgram, cluster, listener, wait_for

pytestmark = pytest.mark.integration


class Host:
    """An HTTP server that answers every request, and says of its health what the test wants.

    statuses  of the answers to checks, in turn, again and again
    delay     seconds before an answer to a check
    """

    def __init__(self) -> None:
        self.statuses = [200]
        self.delay = 0.0
        self.checks = 0
        self.requests = 0
        self.check_connections = 0
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            checked = False

            def do_GET(self) -> None:
                status = 200
                if self.path == "/health":
                    if not self.checked:
                        self.checked = True
                        host.check_connections += 1
                    status = host.statuses[host.checks % len(host.statuses)]
                    host.checks += 1
                    time.sleep(host.delay)
                else:
                    host.requests += 1
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """The program was killed."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class CheckedProgram(RealProgram):
    """Its cluster is checked."""

    def configure(self, hosts: list[Host], *more: dict[str, Any]) -> None:
        """One listener, and a cluster of these hosts; `more` clusters that nobody uses."""
        route = {"match": {"prefix": "/"}, "route": {"cluster": "app"}}
        main = json.loads(json.dumps(listener(self.port)))
        manager = main["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"]["virtual_hosts"][0]["routes"] = [route]
        app = cluster("app")
        app["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": host.port}}}}
            for host in hosts
        ]
        app["health_checks"] = [
            {
                "timeout": "5s",
                "interval": "0.03s",
                "no_traffic_interval": "0.03s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/health"},
            }
        ]
        self.write([main], [app, *more])

    def flags(self) -> dict[int, str]:
        """The health flags of the hosts by their ports."""
        text = self.admin("/clusters")
        return {
            int(port): flags
            for port, flags in re.findall(r"app::127\.0\.0\.1:(\d+)::health_flags::(.*)", text)
        }


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    found = [Host() for _ in range(3)]
    yield found
    for host in found:
        host.stop()


@pytest.fixture
def program(tmp_path: Path, hosts: list[Host]) -> Iterator[CheckedProgram]:
    one = CheckedProgram(tmp_path, "twistproxy")
    one.configure(hosts)
    yield one
    one.clean()


class Traffic:
    """Requests one after the other, on connections of four threads.  `statuses`: how often each was answered."""

    def __init__(self, program: RealProgram) -> None:
        self.statuses: dict[int, int] = {}
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, args=(program.port,)) for _ in range(4)]

    def _run(self, port: int) -> None:
        while not self._stopping:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            for _ in range(20):
                connection.request("GET", "/")
                response = connection.getresponse()
                response.read()
                self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
            connection.close()

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("flapping", [1, 3])
def test_nothing_is_lost_when_health_endpoints_flap(
    program: CheckedProgram, hosts: list[Host], flapping: int
) -> None:
    program.start()
    with Traffic(program) as traffic:
        for host in hosts[:flapping]:
            host.statuses = [200, 503]
        before = [host.checks for host in hosts]
        wait_for(lambda: all(host.checks > count + 40 for host, count in zip(hosts, before)), "many checks")
    assert set(traffic.statuses) == {200}
    failures = program.stat("cluster.app.health_check.failure")
    assert failures >= 15 * flapping
    # Each change is told to the workers, and each of them goes on with the same hosts.
    assert program.stat("cluster.app.membership_change") == 1
    assert program.stat("cluster.app.membership_total") == 3
    for host in hosts:
        host.statuses = [200]
    wait_for(lambda: set(program.flags().values()) == {"healthy"}, "all hosts to be healthy")


def test_a_host_that_fails_is_left_alone_by_all_workers(program: CheckedProgram, hosts: list[Host]) -> None:
    program.start()
    failing = hosts[0]
    failing.statuses = [503]
    wait_for(lambda: program.flags()[failing.port] == "/failed_active_hc", "the host to fail")
    with Traffic(program) as traffic:
        count = failing.requests
        wait_for(lambda: traffic.statuses.get(200, 0) > 400, "much traffic")
        assert failing.requests == count


def test_a_discovery_process_that_is_replaced_changes_no_hosts_health(
    program: CheckedProgram, hosts: list[Host]
) -> None:
    program.start()
    hosts[0].statuses = [503]
    known = {hosts[0].port: "/failed_active_hc", hosts[1].port: "healthy", hosts[2].port: "healthy"}
    wait_for(lambda: program.flags() == known, "the host to fail")
    for host in hosts:
        host.delay = 1.0  # so that the first round of the next process takes its time
    former = program.children()["discovery"]
    checks = [host.checks for host in hosts]
    os.kill(former, signal.SIGKILL)
    seen = []

    def checked_anew() -> bool:
        seen.append(program.flags())
        return all(host.checks > count + 2 for host, count in zip(hosts, checks))

    with Traffic(program) as traffic:
        wait_for(checked_anew, "the next process to check")
    assert program.children()["discovery"] != former
    assert all(flags == known for flags in seen)
    assert len(seen) > 3
    assert set(traffic.statuses) == {200}
    hosts[0].statuses = [200]
    hosts[0].delay = 0.0
    wait_for(lambda: program.flags()[hosts[0].port] == "healthy", "the host to be healthy")


def test_a_reload_that_is_about_something_else_goes_on_checking(
    program: CheckedProgram, hosts: list[Host]
) -> None:
    program.start()
    wait_for(lambda: all(host.checks > 3 for host in hosts), "checks")
    program.configure(hosts, cluster("other"))
    program.signal(signal.SIGHUP)
    wait_for(lambda: program.stat("cluster_manager.active_clusters") == 2, "the reload")
    counts = [host.checks for host in hosts]
    wait_for(lambda: all(host.checks > count + 3 for host, count in zip(hosts, counts)), "more checks")
    assert [host.check_connections for host in hosts] == [1, 1, 1]
    assert program.stat("cluster.app.health_check.failure") == 0


def test_a_reload_that_takes_the_checks_away(program: CheckedProgram, hosts: list[Host]) -> None:
    program.start()
    hosts[0].statuses = [503]
    wait_for(lambda: program.flags()[hosts[0].port] == "/failed_active_hc", "the host to fail")
    settings = json.loads(program.config.read_text())
    del settings["static_resources"]["clusters"][0]["health_checks"]
    program.config.write_text(json.dumps(settings))
    program.signal(signal.SIGHUP)
    wait_for(lambda: program.flags()[hosts[0].port] == "healthy", "the reload")
    count = hosts[0].requests
    with Traffic(program) as traffic:
        wait_for(lambda: hosts[0].requests > count, "traffic to the host")
    assert set(traffic.statuses) == {200}


def test_all_open_files_that_are_allowed_may_be_used(program: CheckedProgram) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        program.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for name in ("discovery", "worker 0"):
        limits = resource.prlimit(program.children()[name], resource.RLIMIT_NOFILE)
        assert limits == (before[1], before[1])


def test_an_event_log_that_cannot_be_opened(program: CheckedProgram) -> None:
    settings = json.loads(program.config.read_text())
    settings["static_resources"]["clusters"][0]["health_checks"][0]["event_log_path"] = "/nonexistent/log"
    program.config.write_text(json.dumps(settings))
    program.launch()
    assert program.wait() != 0
    assert "cannot open /nonexistent/log: No such file or directory" in program.log()
