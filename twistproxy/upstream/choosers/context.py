"""What may be known of a request when a host is chosen for it (Envoy: Upstream::LoadBalancerContext)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from twistproxy.model.address import TcpAddress
from twistproxy.model.hash_policy import HashPolicy
from twistproxy.primitives.metadata_match import MetadataMatchCriteria
from twistproxy.upstream.host import Host


class PrioritySet(Protocol):
    """The hosts among which a chooser has the choice, as far as a context has to know them."""

    def priority_of(self, host: Host) -> int:
        """The number of a host's priority among those that the choice is of, -1 if it is none of them."""

    def has_others(self, priorities: frozenset[int]) -> bool:
        """Whether there is a usable host of a priority other than these."""


class OwnPolicies:
    """The hash policies of a cluster itself, which go before those of a route.  `compiled` is whoever's compiles
    them."""

    __slots__ = ("compiled", "settings")

    def __init__(self, settings: tuple[HashPolicy, ...]) -> None:
        self.settings = settings
        self.compiled: object = None


class LoadBalancerContext:
    """Nothing is known; what knows something of a request says so in place of these methods.

    host_attempts  how many further hosts may be looked at where `should_select_another` does not like one
    only           the priority that is to have all of the load, and whether its degraded hosts are; None where that is
                   not decided yet
    wanted         the hosts that the request wants to have and has not got yet, None before somebody asks
    """

    __slots__ = ("host_attempts", "only", "wanted")

    def __init__(self, host_attempts: int = 0) -> None:
        self.host_attempts = host_attempts
        self.only: tuple[int, bool] | None = None
        self.wanted: list[str] | None = None

    def hash(self, own: OwnPolicies) -> int | None:
        """The hash of the request by these policies, or if there are none by its route's; None: any host will do."""
        return None

    def metadata_match(self) -> MetadataMatchCriteria | None:
        """The metadata that the host has to have, None where nothing is said."""
        return None

    def dynamic_metadata(self) -> Mapping[str, Any] | None:
        """Of the request."""
        return None

    def request_header(self, name: bytes) -> bytes | None:
        """The first field of this name."""
        return None

    def destination(self) -> TcpAddress | None:
        """Where the request is to go, as its filter state says."""
        return None

    def original_destination(self) -> TcpAddress | None:
        """Where the connection of the request was going before it was redirected to us."""
        return None

    def avoided_priorities(self, priorities: PrioritySet) -> frozenset[int]:
        """The priorities that are to have no share of the load; the others have a usable host."""
        return frozenset()

    def should_select_another(self, host: Host) -> bool:
        """Whether to look for a better host than this, as long as there are `host_attempts`."""
        return False
