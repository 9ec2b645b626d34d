"""A discovery process that takes the place of another goes on with what that one knew."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import wait_for
from real_hosts import Host, HostsProgram, checks, eds, real_program, running_hosts, write

pytestmark = pytest.mark.integration


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    yield from running_hosts(2)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[HostsProgram]:
    yield from real_program(tmp_path)


def kill_discovery(program: HostsProgram, hosts: list[Host]) -> None:
    """And wait until its successor has checked everybody more than once."""
    former = program.children()["discovery"]
    os.kill(former, signal.SIGKILL)
    wait_for(lambda: program.children().get("discovery", former) != former, "the next one")
    checked = [host.checks for host in hosts]
    wait_for(lambda: all(host.checks > 3 + was for host, was in zip(hosts, checked)), "its checks")


def test_hosts_that_are_kept_because_they_pass(program: HostsProgram, hosts: list[Host]) -> None:
    write(program, hosts)
    program.configure({**eds(program), **checks()})
    program.start()
    kept = hosts[1]
    write(program, hosts[:1])
    wait_for(lambda: "pending_dynamic_removal" in program.flags()[kept.server_port], "it to be dropped")
    kill_discovery(program, hosts)
    assert "pending_dynamic_removal" in program.flags()[kept.server_port]
    before = kept.requests
    assert program.statuses(20) == {200}
    assert kept.requests > before
    kept.health = 503
    wait_for(lambda: kept.server_port not in program.flags(), "it to go")
    assert program.statuses(20) == {200}


def test_one_failed_check_does_not_count_more_than_before(program: HostsProgram, hosts: list[Host]) -> None:
    """A host is failed from the start until it passes, but this one did pass."""
    patient = checks()
    patient["health_checks"][0].update(unhealthy_threshold=1000, timeout="0.3s")
    write(program, hosts)
    program.configure({**eds(program), **patient})
    program.start()
    wait_for(lambda: set(program.flags().values()) == {"healthy"}, "all hosts to pass")
    for host in hosts:
        host.delay = 0.5
    kill_discovery(program, hosts)
    assert set(program.flags().values()) == {"healthy"}
    assert program.statuses(20) == {200}
