"""What hash balancers ask of hosts: the key under which each is hashed, and its share of the weights (Envoy:
load_balancers#ring-hash, and `hash_key` and `use_hostname_for_hashing` in envoy.config.cluster.v3)."""

from __future__ import annotations

from collections.abc import Sequence

from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.localities import LocalityHosts


def hash_key(host: Host, use_hostname: bool) -> bytes:
    """`hash_key` of the endpoint's metadata; without one its host name or its address with the port."""
    endpoint = host.endpoint
    key = endpoint.hash_key or (endpoint.hostname if use_hostname else host.address_text)
    return key.encode()


def shares_of_weight(hosts: Sequence[Host]) -> list[float]:
    """Each host's weight over the sum of all weights, in the order of the hosts."""
    total = sum([host.weight for host in hosts])
    return [host.weight / total for host in hosts]


def shares_of_localities(localities: Sequence[LocalityHosts], panic: bool) -> tuple[list[Host], list[float]]:
    """The healthy hosts of these localities, or all in a panic, and the share of each in the weight of its locality.

    That does not become less with hosts that are not healthy; localities without a weight have no share (Envoy:
    normalizeLocalityWeights in thread_aware_lb_impl.cc).
    """
    total = sum([one.weight for one in localities])
    found: list[Host] = []
    shares: list[float] = []
    for one in localities:
        usable = one.hosts if panic else one.healthy
        if one.weight and usable:
            found.extend(usable)
            shares.extend([one.weight / total * share for share in shares_of_weight(usable)])
    return found, shares
