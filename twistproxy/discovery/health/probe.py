"""What a protocol's checks look like to their scheduler, and the other way round."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Failure(Enum):
    """Why a check failed (envoy.data.core.v3.HealthCheckFailureType)."""

    #: the host answered, and said no
    ACTIVE = "ACTIVE"
    #: told by a response to ordinary traffic
    PASSIVE = "PASSIVE"
    NETWORK = "NETWORK"
    NETWORK_TIMEOUT = "NETWORK_TIMEOUT"

    @property
    def of_network(self) -> bool:
        """One of these alone says little: the threshold counts."""
        return self in (Failure.NETWORK, Failure.NETWORK_TIMEOUT)


class Results(Protocol):
    """Who is told of a check's end: `HostCheck`."""

    def succeeded(self, degraded: bool = False) -> None: ...

    def failed(
        self, failure: Failure, *, retriable: bool = False, status: int = 0, immediate: bool = False
    ) -> None:
        """retriable  it counts towards the threshold, as a failure of the network does
        status     of the HTTP response, 0 if there was none
        immediate  the host asked not to count among the cluster's hosts
        """

    def verified(self) -> bool:
        """A response named its cluster.  Counts it; False if nobody is to look at the name."""


class Probe(Protocol):
    """The checks of one host.  It keeps a connection from one to the next, if it may."""

    def begin(self) -> None:
        """Start a check.  One result follows, at once or later, unless `give_up` or `close` is called first."""

    def give_up(self) -> None:
        """The check takes too long: no result any more."""

    def close(self) -> None:
        """No more checks, and no more results."""
