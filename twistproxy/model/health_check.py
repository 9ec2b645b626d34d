"""Active health checks as configured (envoy.config.core.v3.HealthCheck).  All times are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from twistproxy.model.address import Address, address_of, address_value
from twistproxy.model.header_rules import HeaderRules
from twistproxy.model.http1 import UpstreamHttp1Settings
from twistproxy.model.sockets import UpstreamSockets
from twistproxy.primitives.string_match import StringMatcher

#: Ranges of status codes: from the first up to, but without, the second.
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """An HTTP request, and what its response must be.

    host             "" for the cluster's name
    send             the request's content
    receive          what the response's content must have in it, in this order
    buffer_size      bytes of content that are looked at, 0 for all of them
    expected         statuses that are well
    retriable        other statuses that count towards the threshold, where the rest fail at once
    service_name     what x-envoy-upstream-healthchecked-cluster must be
    http2            over HTTP/2
    """

    path: str
    host: str = ""
    method: str = "GET"
    send: bytes = b""
    receive: tuple[bytes, ...] = ()
    buffer_size: int = 1024
    headers: HeaderRules = field(default_factory=HeaderRules)
    expected: Ranges = ((200, 201),)
    retriable: Ranges = ()
    service_name: StringMatcher | None = None
    http2: bool = False


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """A connection, and what comes back on it.

    receive         what must come, in this order; empty: the connection alone is enough
    proxy_protocol  the header that goes first
    """

    send: bytes = b""
    receive: tuple[bytes, ...] = ()
    proxy_protocol: Literal["", "V1", "V2"] = ""


@dataclass(frozen=True, slots=True)
class GrpcCheck:
    """`grpc.health.v1.Health/Check`.  `authority`: "" for the cluster's name."""

    service_name: str = ""
    authority: str = ""
    metadata: HeaderRules = field(default_factory=HeaderRules)


Check = HttpCheck | TcpCheck | GrpcCheck


@dataclass(frozen=True, slots=True)
class Intervals:
    """Times between two checks of a host.

    usual                once it is known to be healthy
    unhealthy            once it is known not to be
    unhealthy_edge       after a failure, while it still counts as healthy
    healthy_edge         after a success, while it still counts as unhealthy
    no_traffic           of a cluster that nobody has used yet, and
    no_traffic_healthy   of its healthy hosts
    initial_jitter       up to so much passes before the first check
    jitter, jitter_percent  up to so much more, in seconds and per cent of the interval
    """

    usual: float
    unhealthy: float
    unhealthy_edge: float
    healthy_edge: float
    no_traffic: float = 60.0
    no_traffic_healthy: float = 60.0
    initial_jitter: float = 0.0
    jitter: float = 0.0
    jitter_percent: int = 0


@dataclass(frozen=True, slots=True)
class HealthCheckSettings:
    """What is checked, how often, and what follows from it.

    timeout              limit of one check
    event_logs           files that events go to
    log_failures         every failure is an event, not only the first and that which makes a host unhealthy
    log_successes        so with successes
    """

    check: Check
    timeout: float
    intervals: Intervals
    unhealthy_threshold: int
    healthy_threshold: int
    reuse_connection: bool = True
    event_logs: tuple[str, ...] = ()
    log_failures: bool = False
    log_successes: bool = False


@dataclass(frozen=True, slots=True)
class ClusterChecks:
    """The health checks of one cluster.

    stat_name       under which they are counted
    wait            new hosts do not count before their first check
    keep_passing    hosts that discovery drops stay while their checks pass
    one_host        the cluster is one host whose address may change (LOGICAL_DNS)
    http1           limits of responses
    sockets         of the connections, None where they are as usual
    """

    cluster: str
    stat_name: str
    settings: HealthCheckSettings
    wait: bool = False
    keep_passing: bool = True
    one_host: bool = False
    http1: UpstreamHttp1Settings = field(default_factory=UpstreamHttp1Settings)
    sockets: UpstreamSockets | None = None


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """envoy.config.endpoint.v3.Endpoint.HealthCheckConfig: what a host's checks differ in.

    address   checked in place of the host's own
    port      so for the port; 0 for none of its own
    hostname  in place of the check's
    disabled  it is not checked, and counts as healthy
    """

    address: Address | None = None
    port: int = 0
    hostname: str = ""
    disabled: bool = False

    def to_json(self) -> list[Any]:
        """As a JSON value; `from_json` is its inverse."""
        address = None if self.address is None else address_value(self.address)
        return [address, self.port, self.hostname, self.disabled]

    @classmethod
    def from_json(cls, data: list[Any]) -> CheckTarget:
        return cls(None if data[0] is None else address_of(data[0]), *data[1:])
