"""What is known of hosts outlives reloads that are refused, and a discovery process that dies during a reload."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from program import Program, cluster, listener, wait_for

pytestmark = pytest.mark.integration
_FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


class RealProgram(Program):
    """The same with the real data plane."""

    def command(self, *twistd: str) -> list[str]:
        twistd = twistd or ("-n", "--pidfile=")
        program = str(Path(sys.executable).with_name("twistd"))
        return [sys.executable, program, *twistd, "twistproxy", "-c", str(self.config), *self.options]

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


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    found = [Host(), Host()]
    yield found
    for host in found:
        host.shutdown()
        host.server_close()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[RealProgram]:
    one = RealProgram(tmp_path, "twistproxy")
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


OUTLIERS = {
    "outlier_detection": {
        "consecutive_5xx": 3,
        "max_ejection_percent": 100,
        "base_ejection_time": "3000s",
        "max_ejection_time": "3000s",
        "interval": "0.05s",
        "successful_active_health_check_uneject_host": False,
    }
}


def test_a_worker_that_refuses_has_changed_nothing(program: RealProgram, hosts: list[Host]) -> None:
    program.configure(app(hosts))
    program.start()
    assert program.statuses(8) == {200}
    program.configure(app(hosts, "other"), use="other", log="/nonexistent/directory/log")
    program.refuse()
    assert "cannot open /nonexistent/directory/log: No such file or directory" in program.log()
    assert program.statuses(20) == {200}
    assert program.stat("cluster_manager.cluster_removed") == 0


@pytest.mark.parametrize("change", ["the cluster goes", "only its watchers go"])
def test_hosts_that_are_out_stay_so_when_a_reload_is_refused(
    program: RealProgram, hosts: list[Host], change: str
) -> None:
    failing, ejected = hosts[0], hosts[1]
    good = Host()
    everyone = [*hosts, good]
    program.configure(app(everyone, **checks(), **OUTLIERS))
    program.start()
    failing.health, ejected.status = 503, 500
    known = {
        failing.server_port: "/failed_active_hc",
        ejected.server_port: "/failed_outlier_check",
        good.server_port: "healthy",
    }

    def out() -> bool:
        program.statuses(6)
        return program.flags() == known

    wait_for(out, "both to be out")
    wait_for(lambda: program.statuses(12) == {200}, "all workers to know")
    counts = failing.requests, ejected.requests
    now = [app(everyone)] if change == "only its watchers go" else [app(everyone, "other")]
    program.configure(*now, use=now[0]["name"], log="/nonexistent/directory/log")
    program.refuse()
    seen = []

    def checked_again() -> bool:
        seen.append(program.flags())
        assert program.statuses(4) == {200}
        return good.checks > checked + 5

    checked = good.checks
    wait_for(checked_again, "checks of the former configuration")
    assert all(flags == known for flags in seen)
    assert (failing.requests, ejected.requests) == counts
    good.shutdown()
    good.server_close()


def test_a_discovery_process_that_dies_during_a_reload(program: RealProgram, hosts: list[Host]) -> None:
    program.configure(app(hosts, **checks()))
    program.start()
    former = program.children()["discovery"]
    os.kill(former, signal.SIGSTOP)  # the reload waits for its answer
    program.configure(app(hosts, "other", **checks()), use="other")
    program.signal(signal.SIGHUP)
    wait_for(lambda: "reloading" in program.log(), "the reload to begin")
    os.kill(former, signal.SIGKILL)
    wait_for(lambda: "generation 2 runs" in program.log(), "the reload")
    assert program.statuses(12) == {200}
    assert program.stat("cluster.other.membership_healthy") == 2
    hosts[0].health = 503
    wait_for(lambda: program.stat("cluster.other.membership_healthy") == 1, "its successor to check")


def test_the_next_discovery_process_has_what_the_last_reload_said(
    program: RealProgram, hosts: list[Host]
) -> None:
    program.configure(app(hosts, **checks()))
    program.start()
    program.configure(app(hosts, "other", **checks()), use="other")
    program.signal(signal.SIGHUP)
    wait_for(lambda: "generation 2 runs" in program.log(), "the reload")
    former = program.children()["discovery"]
    os.kill(former, signal.SIGKILL)
    wait_for(lambda: program.children().get("discovery") not in (None, former), "the next one")
    hosts[0].health = 503
    wait_for(lambda: program.stat("cluster.other.membership_healthy") == 1, "its checks")


def test_a_failed_health_check_of_ours_is_not_undone_by_a_reload(
    program: RealProgram, hosts: list[Host]
) -> None:
    program.configure(app(hosts))
    program.start()
    hosts[0].delay = 2.0
    program.configure(app(hosts, "other", **checks()), use="other")
    program.signal(signal.SIGHUP)
    wait_for(lambda: hosts[0].checks, "a worker to wait for the new cluster")
    program.admin("/healthcheck/fail", "POST")
    wait_for(lambda: "generation 2 runs" in program.log(), "the reload")
    for _ in range(12):
        connection = program.connect()
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.status, response.headers["connection"]) == (200, "close")
        connection.close()
