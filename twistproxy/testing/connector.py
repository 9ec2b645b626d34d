"""Connections to upstreams that exist only in memory."""

from __future__ import annotations

from typing import Any

from twistproxy.api.transport import ConnectCallbacks, DialCallbacks
from twistproxy.model.address import Address
from twistproxy.model.sockets import Way
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.transport import MemoryTransport


class FakeAttempt:
    """One attempt to connect.  Ends by `succeed` or `fail`, at once when called."""

    def __init__(
        self, clock: FakeClock, address: Address, timeout: float, callbacks: ConnectCallbacks, high_water: int
    ) -> None:
        self._clock = clock
        self._callbacks = callbacks
        self._high_water = high_water
        self.address = address
        self.timeout = timeout
        self.ways: tuple[Way, ...] = ()
        self.over = False

    def cancel(self) -> None:
        self.over = True

    def succeed(self) -> MemoryTransport:
        assert not self.over
        self.over = True
        transport = MemoryTransport(self._clock, self._high_water, peer=self.address)
        transport.handler = self._callbacks.connected(transport)
        return transport

    def fail(self, reason: str = "Connection refused", timed_out: bool = False) -> None:
        assert not self.over
        self.over = True
        self._callbacks.connect_failed(reason, timed_out)

    def fail_dialling(self, reason: str, local: bool = False, binding: bool = False) -> None:
        """As a connector does it to who has called `dial`."""
        assert not self.over
        self.over = True
        callbacks: Any = self._callbacks
        callbacks.dial_failed(reason, local, binding)

    def try_another(self) -> None:
        callbacks: Any = self._callbacks
        callbacks.tried_another()


class FakeConnector:
    """`api.transport.Connector`.  Each attempt succeeds in the next turn of the clock, unless `hold` is set (the test
    ends it) or its address is among `refused`.

    attempts     all there were, in order
    connections  those that succeeded by themselves, in order
    """

    def __init__(self, clock: FakeClock, high_water: int = 65536) -> None:
        self._clock = clock
        self._high_water = high_water
        self.hold = False
        self.refused: set[Address] = set()
        self.attempts: list[FakeAttempt] = []
        self.connections: list[MemoryTransport] = []

    def connect(self, address: Address, timeout: float, callbacks: ConnectCallbacks) -> FakeAttempt:
        attempt = FakeAttempt(self._clock, address, timeout, callbacks, self._high_water)
        self.attempts.append(attempt)
        if not self.hold:
            self._clock.call_later(0, self._settle, attempt)
        return attempt

    def dial(self, ways: tuple[Way, ...], timeout: float, callbacks: DialCallbacks) -> FakeAttempt:
        attempt = self.connect(ways[0].address, timeout, callbacks)
        attempt.ways = ways
        return attempt

    def _settle(self, attempt: FakeAttempt) -> None:
        if attempt.over:
            return
        if attempt.address in self.refused:
            attempt.fail()
        else:
            self.connections.append(attempt.succeed())
