from __future__ import annotations

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.shares import has_usable, loads, priorities

STATES = {"h": "HEALTHY", "k": "UNKNOWN", "u": "UNHEALTHY", "t": "TIMEOUT", "d": "DEGRADED", "x": "DRAINING"}


def hosts(text: str) -> list[Host]:
    """ "hu hh": a healthy and an unhealthy host of priority 0, two healthy ones of priority 1.  "-": none."""
    return [
        Host(Endpoint(TcpAddress(f"10.0.{priority}.{at}", 80), priority=priority, health=STATES[letter]))
        for priority, group in enumerate(text.split())
        for at, letter in enumerate(group.strip("-"))
    ]


def shared(
    text: str, threshold: int = 50, policy: AssignmentPolicy | None = None, without: set[int] | None = None
) -> list[str]:
    """ "70:0h": 70 per cent for the healthy hosts of priority 0; "d" for its degraded ones, "!" for all in a panic."""
    found = priorities(hosts(text), policy or AssignmentPolicy(), threshold)
    return [
        f"{load.per_cent}:{load.priority}" + ("!" if found[load.priority].panic else "hd"[load.degraded])
        for load in loads(found, frozenset(without or ()))
    ]


CASES = {
    "": ["100:0!"],
    "h": ["100:0h"],
    "hk": ["100:0h"],
    "hu": ["100:0h"],
    "huu": ["100:0!"],
    "ut": ["100:0!"],
    "xhu": ["100:0h"],
    "x": ["100:0!"],
    "hd": ["70:0h", "30:0d"],
    "hhhd": ["100:0h"],
    "du": ["100:0d"],
    "uu h": ["100:1h"],
    "hu hh": ["70:0h", "30:1h"],
    "hh hh": ["100:0h"],
    "uu uuuuuu": ["25:0!", "75:1!"],
    # 46 + 70 per cent are available: enough, so there is no panic
    "huu hu": ["46:0h", "54:1h"],
    # 46 + 35: not enough, and all are in a panic
    "huu huuu": ["43:0!", "57:1!"],
    # 70 + 28: only the second one is
    "hu huuuu": ["72:0h", "28:1!"],
    "hhu huuuuuuuuu": ["93:0h", "7:1h"],
    "hu - hh": ["70:0h", "30:2h"],
    "- hh": ["100:1h"],
    "hdu h": ["46:0h", "54:1h"],
    "ddd huu": ["46:1h", "54:0d"],
    "duuuu duuuu": ["50:0!", "50:1!"],
}


@pytest.mark.parametrize("text", CASES)
def test_shares(text: str) -> None:
    found = shared(text)
    assert found == CASES[text]
    assert sum(int(load.partition(":")[0]) for load in found) == 100


def test_threshold() -> None:
    assert shared("huu huuu", 20) == ["57:0h", "43:1h"]  # 46 and 35 of 81
    assert shared("hhu uuuu", 100) == ["43:0!", "57:1!"]
    assert shared("hhu uuuu", 40) == ["100:0h"]
    # Never: there is nobody to ask.
    assert shared("uu uu", 0) == ["100:0h"]
    assert shared("x h", 0) == ["100:1h"]


def test_policy() -> None:
    assert shared("hu hh", policy=AssignmentPolicy(200)) == ["100:0h"]
    assert shared("hu hh", policy=AssignmentPolicy(100)) == ["50:0h", "50:1h"]
    assert shared("hh hh", policy=AssignmentPolicy(50)) == ["50:0h", "50:1h"]


def test_health_by_weight() -> None:
    some = [
        Host(Endpoint(TcpAddress("10.0.0.1", port), weight=weight, health=health))
        for port, weight, health in ((1, 9, "HEALTHY"), (2, 1, "UNHEALTHY"), (3, 5, "DRAINING"))
    ]
    (one,) = priorities(some, AssignmentPolicy(100, True), 50)
    assert one.available == 90
    (one,) = priorities(some, AssignmentPolicy(100, False), 50)
    assert one.available == 50


def test_without_some() -> None:
    """Of what is left, what it can take; health is as it was."""
    assert shared("hu hh", without={0}) == ["100:1h"]
    assert shared("hh hu hu", without={0}) == ["70:1h", "30:2h"]
    assert shared("huu huuu huuuu", without={0}) == ["56:1h", "44:2h"]
    found = priorities(hosts("hh uu"), AssignmentPolicy(), 50)
    assert not has_usable(found, frozenset({0}))
    assert has_usable(found, frozenset({1}))
