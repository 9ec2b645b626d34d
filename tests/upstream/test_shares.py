from __future__ import annotations

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.shares import shares

STATES = {"h": "HEALTHY", "k": "UNKNOWN", "u": "UNHEALTHY", "t": "TIMEOUT", "d": "DEGRADED", "x": "DRAINING"}


def hosts(text: str) -> list[Host]:
    """ "hu hh": a healthy and an unhealthy host of priority 0, two healthy ones of priority 1."""
    return [
        Host(Endpoint(TcpAddress(f"10.0.{priority}.{at}", 80), priority=priority, health=STATES[letter]))
        for priority, group in enumerate(text.split())
        for at, letter in enumerate(group)
    ]


# hosts: (load, priority and number of each host, panic) of each share
CASES = {
    "": [(100, [], True)],
    "h": [(100, ["0.0"], False)],
    "hk": [(100, ["0.0", "0.1"], False)],
    "hu": [(100, ["0.0"], False)],
    "huu": [(100, ["0.0", "0.1", "0.2"], True)],
    "ut": [(100, ["0.0", "0.1"], True)],
    "xhu": [(100, ["0.1"], False)],
    "x": [(100, ["0.0"], True)],
    "hd": [(70, ["0.0"], False), (30, ["0.1"], False)],
    "hhhd": [(100, ["0.0", "0.1", "0.2"], False)],
    "du": [(100, ["0.0"], False)],
    "uu h": [(100, ["1.0"], False)],
    "hu hh": [(70, ["0.0"], False), (30, ["1.0", "1.1"], False)],
    "hh hh": [(100, ["0.0", "0.1"], False)],
    "uu uuuuuu": [(25, ["0.0", "0.1"], True), (75, [f"1.{at}" for at in range(6)], True)],
    # 46 + 70 per cent are available: enough, so there is no panic
    "huu hu": [(46, ["0.0"], False), (54, ["1.0"], False)],
}


@pytest.mark.parametrize("text", CASES)
def test_shares(text: str) -> None:
    found = [
        (share.load, [str(host.address)[5:-3] for host in share.hosts], share.panic)
        for share in shares(hosts(text))
    ]
    assert found == CASES[text]
    assert sum(load for load, _, _ in found) == 100
