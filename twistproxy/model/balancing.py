"""How the hosts of a cluster share its requests, as configured (the balancing fields of envoy.config.cluster.v3, and
envoy.extensions.load_balancing_policies)."""

from __future__ import annotations

from dataclasses import dataclass, field

from twistproxy.model.hash_policy import HashPolicy
from twistproxy.model.subsets import SubsetSettings


@dataclass(frozen=True, slots=True)
class RingHashSettings:
    """A hash ring of at least and at most so many places.

    murmur        MurmurHash2 in place of xxHash64
    use_hostname  hosts are hashed by their names, not by their addresses
    balance_factor  per cent of the average load that a host may have, 0 for any
    policies      what of a request is hashed; empty: what its route says
    """

    minimum_size: int = 1024
    maximum_size: int = 8 * 1024 * 1024
    murmur: bool = False
    use_hostname: bool = False
    balance_factor: int = 0
    policies: tuple[HashPolicy, ...] = ()


@dataclass(frozen=True, slots=True)
class MaglevSettings:
    """A Maglev table; `table_size` is a prime.  The rest as with rings."""

    table_size: int = 65537
    use_hostname: bool = False
    balance_factor: int = 0
    policies: tuple[HashPolicy, ...] = ()


@dataclass(frozen=True, slots=True)
class LeastRequestSettings:
    """choices    how many hosts are compared
    full_scan  all of them are
    bias       how much active requests count against different weights, unless the runtime value `bias_key` says so
    """

    choices: int = 2
    full_scan: bool = False
    bias: float = 1.0
    bias_key: str = ""


@dataclass(frozen=True, slots=True)
class SlowStartSettings:
    """A host that is new, or healthy again, has only part of its weight for `window` seconds.

    aggression  above 1 the part grows faster at first, below 1 slower; unless the runtime value `aggression_key` says so
    min_weight  the least part, 0.0 to 1.0
    """

    window: float
    aggression: float = 1.0
    aggression_key: str = ""
    min_weight: float = 0.1


@dataclass(frozen=True, slots=True)
class ZoneAwareSettings:
    """Requests stay in the proxy's own zone as far as its hosts there can take them, if it is known who else asks (the
    bootstrap's `local_cluster_name`).

    routing_enabled   per cent of the requests for which that is considered
    min_cluster_size  healthy hosts, below which it is not
    force_local_size  so many healthy hosts in the own zone take all requests, 0: no number does
    by_weight         zones are as large as the weights of their hosts, not as their number
    """

    routing_enabled: int = 100
    min_cluster_size: int = 6
    force_local_size: int = 0
    by_weight: bool = False


@dataclass(frozen=True, slots=True)
class OverrideSource:
    """Where requests say which hosts they want: in the header field of this name, or if that is "" in dynamic metadata,
    in the namespace `key` at the end of `path`."""

    header: str = ""
    key: str = ""
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Balancing:
    """policy   ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH or MAGLEV
    hashing  settings of the last two, None with the others
    locality_weighted  localities have weights, in place of being near or far
    panic_threshold    per cent of usable hosts below which the health of hosts does not count,
    fail_on_panic      … or there is none to be asked
    subsets  how requests choose among parts of the hosts, None if they do not
    overrides  where requests may say which hosts they want
    """

    policy: str = "ROUND_ROBIN"
    least_request: LeastRequestSettings = field(default_factory=LeastRequestSettings)
    hashing: RingHashSettings | MaglevSettings | None = None
    slow_start: SlowStartSettings | None = None
    locality_weighted: bool = False
    zone_aware: ZoneAwareSettings = field(default_factory=ZoneAwareSettings)
    panic_threshold: int = 50
    fail_on_panic: bool = False
    subsets: SubsetSettings | None = None
    overrides: tuple[OverrideSource, ...] = ()

    @property
    def compares_load(self) -> bool:
        """Whether it matters how many requests each host has."""
        hashing = self.hashing
        return self.policy == "LEAST_REQUEST" or (hashing is not None and hashing.balance_factor > 0)
