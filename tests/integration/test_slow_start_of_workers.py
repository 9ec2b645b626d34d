"""Workers that take the place of others know how long each host has been there."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import wait_for
from real_hosts import Host, HostsProgram, eds, real_program, running_hosts, write

pytestmark = pytest.mark.integration

#: Even a host that is a little younger than the others gets next to nothing.
_SLOW = {
    "slow_start_config": {
        "slow_start_window": "3600s",
        "aggression": {"default_value": 0.05, "runtime_key": "slow.aggression"},
        "min_weight_percent": {"value": 0},
    }
}


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    yield from running_hosts(3)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[HostsProgram]:
    yield from real_program(tmp_path)


def workers(program: HostsProgram) -> dict[str, int]:
    return {name: pid for name, pid in program.children().items() if name.startswith("worker")}


def replace_workers(program: HostsProgram) -> None:
    """One after the other, as a rolling failure would."""
    for name, pid in workers(program).items():
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda name=name, pid=pid: workers(program).get(name, pid) != pid, "the next worker")
        wait_for(program.live, "it to listen")


def shares(program: HostsProgram, hosts: list[Host], count: int = 60) -> Counter[int]:
    before = [host.requests for host in hosts]
    assert program.statuses(count) == {200}
    return Counter({at: host.requests - before[at] for at, host in enumerate(hosts)})


@pytest.mark.parametrize("discovery", ["lives on", "dies first"])
def test_a_new_worker_does_not_begin_anew(program: HostsProgram, hosts: list[Host], discovery: str) -> None:
    write(program, hosts[:2])
    program.configure({**eds(program), "round_robin_lb_config": _SLOW})
    program.start()
    time.sleep(2.0)  # the third host is so much younger
    write(program, hosts)
    wait_for(lambda: program.stat("cluster.app.membership_total") == 3, "the third to be known")
    assert shares(program, hosts)[2] <= 2
    if discovery == "dies first":
        former = program.children()["discovery"]
        found = program.stat("cluster.app.update_success")
        os.kill(former, signal.SIGKILL)
        wait_for(lambda: program.children().get("discovery", former) != former, "the next one")
        wait_for(lambda: program.stat("cluster.app.update_success") > found, "what it finds")
    replace_workers(program)
    assert shares(program, hosts)[2] <= 2
