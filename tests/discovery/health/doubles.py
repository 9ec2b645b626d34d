"""Health checks over connections in memory, with time that tests advance."""

from __future__ import annotations

from twistproxy.discovery.health.checks import HealthChecks
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import flag_names
from twistproxy.model.health_check import (
    Check,
    ClusterChecks,
    HealthCheckSettings,
    HttpCheck,
    Intervals,
)
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.testing.transport import MemoryTransport

A, B, C = (TcpAddress(f"10.0.0.{number}", 80) for number in (1, 2, 3))
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
NOT_OK = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line.decode())


class Logs:
    """Event logs by path; those under /closed cannot be opened."""

    def __init__(self) -> None:
        self.files: dict[str, Log] = {}

    def open(self, path: str) -> Log:
        if path.startswith("/closed"):
            raise PermissionError(13, "Permission denied", path)
        return self.files.setdefault(path, Log())


def intervals(**times: float) -> Intervals:
    """All ten seconds, but for those named."""
    usual = dict.fromkeys(("usual", "unhealthy", "unhealthy_edge", "healthy_edge"), 10.0)
    return Intervals(**{**usual, "no_traffic": 10.0, "no_traffic_healthy": 10.0, **times})  # type: ignore[arg-type]


def settings(check: Check | None = None, **fields: object) -> HealthCheckSettings:
    found = {
        "check": check or HttpCheck("/health"),
        "timeout": 1.0,
        "intervals": intervals(),
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
        **fields,
    }
    return HealthCheckSettings(**found)  # type: ignore[arg-type]


class World:
    """A store with one cluster, "app", and its checks.

    told  what was published of it: whether it was resolved, and its hosts' flags
    """

    def __init__(self, start: HealthCheckSettings | None = None, **cluster: object) -> None:
        self.clock = FakeClock()
        self.connector = FakeConnector(self.clock)
        self.told: list[tuple[bool, dict[str, str]]] = []
        self.store = EndpointStore(self._changed)
        self.logs = Logs()
        self.runtime = RuntimeValues()
        self.random = 0.5
        self.checks = HealthChecks(
            self.clock, self.connector, self.store, self.logs, self.runtime, lambda: self.random
        )
        self.cluster = ClusterChecks("app", "app", start or settings(), **cluster)  # type: ignore[arg-type]
        self.checks.configure([self.cluster])
        self.store.declare("app")
        self.checks.cluster_used("app")

    def _changed(self, cluster: str) -> None:
        found = self.store.get(cluster)
        if found is not None:
            flags = {str(one.address): "/".join(flag_names(one.flags)) for one in found.endpoints}
            self.told.append((found.resolved, flags))

    def publish(self, *addresses: TcpAddress, **fields: object) -> None:
        endpoints = [Endpoint(address, **fields) for address in addresses]  # type: ignore[arg-type]
        self.store.publish("app", endpoints)

    @property
    def flags(self) -> dict[str, str]:
        """By the last number of the address."""
        return {address.split(":")[0][-1]: flags for address, flags in self.told[-1][1].items()}

    @property
    def resolved(self) -> bool:
        return self.told[-1][0]

    def settle(self) -> None:
        """What was decided is published, connections come and go."""
        self.clock.advance(0.06)

    def open(self) -> list[MemoryTransport]:
        return [one for one in self.connector.connections if not one.closing]

    def asked(self) -> list[MemoryTransport]:
        """The connections on which a request has come since the last call."""
        return [one for one in self.connector.connections if one.take()]

    def answer(self, data: bytes = OK) -> int:
        """To every request that has come.  Returns how many there were."""
        asked = self.asked()
        for one in asked:
            one.receive(data)
        self.settle()
        return len(asked)

    def counters(self) -> dict[str, int]:
        counters: dict[str, int] = {}
        self.checks.collect(counters, counters)
        return {name.rpartition(".")[2]: value for name, value in counters.items()}
