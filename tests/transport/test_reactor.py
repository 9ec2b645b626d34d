"""The reactor itself: life, time, children, ports.  What Twisted's own tests show is not repeated."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.internet.tcp import makeBinding

from twistproxy.transport.reactor import SteadyReactor, TwistproxyReactor
from twistproxy.transport.uv_listen import _backlog_of


@pytest.fixture
def reactor() -> Iterator[TwistproxyReactor]:
    reactor = TwistproxyReactor()
    yield reactor
    reactor.close()


def run(reactor: TwistproxyReactor) -> None:
    """Run until somebody stops the reactor."""
    late = reactor.callLater(20, reactor.crash)
    reactor.run(installSignalHandlers=False)
    assert late.active(), "nobody stopped the reactor"


def test_calls_come_in_order_and_never_early(reactor: TwistproxyReactor) -> None:
    calls: list[tuple[float, float]] = []

    def called(due: float) -> None:
        calls.append((due, reactor.seconds()))
        if len(calls) == 4:
            reactor.stop()

    start = reactor.seconds()
    for delay in (0.0104, 0.0011, 0.0, 0.0206):
        reactor.callLater(delay, called, start + delay)
    run(reactor)
    assert [due for due, _ in calls] == sorted(due for due, _ in calls)
    assert all(due <= now for due, now in calls)


def test_a_clock_that_is_set_back_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reactor = SteadyReactor()
    called: list[str] = []
    reactor.callLater(0.01, called.append, "in time")
    reactor.callLater(0.02, reactor.stop)
    monkeypatch.setattr(ReactorBase, "seconds", staticmethod(lambda: time.time() - 3600))
    reactor.loop.call_later(5, reactor.crash)
    reactor.run(installSignalHandlers=False)
    reactor.close()
    assert called == ["in time"]


def test_a_call_can_be_moved_both_ways(reactor: TwistproxyReactor) -> None:
    calls: list[str] = []
    sooner = reactor.callLater(1000, calls.append, "sooner")
    later = reactor.callLater(0.001, calls.append, "later")
    sooner.reset(0)
    later.delay(0.02)
    reactor.callLater(0.03, reactor.stop)
    run(reactor)
    assert calls == ["sooner", "later"]


def test_a_thread_wakes_the_reactor(reactor: TwistproxyReactor) -> None:
    reactor.callInThread(lambda: reactor.callFromThread(reactor.stop))
    run(reactor)


@pytest.mark.integration
def test_a_reactor_of_its_own_in_a_forked_child() -> None:
    program = """
import os
from twistproxy.transport.reactor import TwistproxyReactor

def use(answer):
    reactor = TwistproxyReactor()
    reactor.callLater(0.01, reactor.stop)
    reactor.run()
    return answer

use(None)
child = os.fork()
if child == 0:
    os._exit(use(42))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), use("parent"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout.split(), done.stderr) == (["42", "parent"], "")


@pytest.mark.integration
def test_twisted_finds_it_by_name() -> None:
    program = (
        "from twisted.application.reactors import installReactor\n"
        "installReactor('twistproxy')\n"
        "from twisted.internet import reactor\n"
        "print(type(reactor).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("TwistproxyReactor\n", "")


@pytest.mark.integration
def test_a_forked_child_that_ends_leaves_its_parents_sockets_alone(reactor: TwistproxyReactor) -> None:
    factory = Counter(reactor)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    reactor.iterate(0)
    child = os.fork()
    if child == 0:
        reactor.close()
        os._exit(0)
    os.waitpid(child, 0)
    with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=10):
        run(reactor)
    assert factory.connections == 1


class Child(ProcessProtocol):
    def __init__(self, reactor: TwistproxyReactor) -> None:
        self._reactor = reactor
        self.status: int | None = None

    def processEnded(self, reason: Any) -> None:
        self.status = reason.value.exitCode
        self._reactor.stop()


@pytest.mark.integration
@pytest.mark.parametrize("pidfd", [True, False])
def test_children_are_reaped_without_signals(
    reactor: TwistproxyReactor, monkeypatch: pytest.MonkeyPatch, pidfd: bool
) -> None:
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    child = Child(reactor)
    reactor.callWhenRunning(
        reactor.spawnProcess, child, sys.executable, [sys.executable, "-c", "raise SystemExit(3)"]
    )
    run(reactor)
    assert child.status == 3


class Counter(Factory):
    """Counts connections, and stops the reactor at each."""

    noisy = False

    def __init__(self, reactor: TwistproxyReactor) -> None:
        self._reactor = reactor
        self.connections = 0

    def buildProtocol(self, addr: object) -> Protocol:
        self.connections += 1
        self._reactor.crash()
        return Protocol()


@pytest.mark.integration
def test_accepting_goes_on_after_libuv_has_given_up(reactor: TwistproxyReactor) -> None:
    factory = Counter(reactor)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    # What uvloop also does when accept(2) fails: it closes its descriptor, and says nothing.
    port._server.close()
    assert port._server is None
    with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=10):
        run(reactor)
    assert factory.connections == 1


@pytest.mark.integration
def test_an_adopted_port_keeps_its_queue_length_and_its_first_owner(reactor: TwistproxyReactor) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=7) as listening:
        listening.setblocking(False)
        factory = Counter(reactor)
        port = reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, factory)
        assert _backlog_of(listening) == 7
        with socket.create_connection(listening.getsockname(), timeout=10):
            run(reactor)
        assert factory.connections == 1
        port.stopListening()
        reactor.iterate(0)
        # The owner's socket still listens.
        with socket.create_connection(listening.getsockname(), timeout=10):
            assert listening.accept()


@pytest.mark.integration
def test_ports_of_several_processes_share_an_address(reactor: TwistproxyReactor) -> None:
    first = reactor.listenTCP(makeBinding("127.0.0.1", 0, reusePort=True), Counter(reactor))
    second = reactor.listenTCP(
        makeBinding("127.0.0.1", first.getHost().port, reusePort=True), Counter(reactor)
    )
    assert first.getHost() == second.getHost()
