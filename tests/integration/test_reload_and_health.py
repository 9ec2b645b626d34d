"""What is known of hosts outlives reloads that are refused, and a discovery process that dies during a reload."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import wait_for
from real_hosts import Host, HostsProgram, app, checks, real_program, running_hosts

pytestmark = pytest.mark.integration


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    yield from running_hosts(2)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[HostsProgram]:
    yield from real_program(tmp_path)


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


def test_a_worker_that_refuses_has_changed_nothing(program: HostsProgram, hosts: list[Host]) -> None:
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
    program: HostsProgram, hosts: list[Host], change: str
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


def test_a_discovery_process_that_dies_during_a_reload(program: HostsProgram, hosts: list[Host]) -> None:
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
    program: HostsProgram, hosts: list[Host]
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
    program: HostsProgram, hosts: list[Host]
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
