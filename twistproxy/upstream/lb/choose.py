"""Cluster settings and hosts to a load balancer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from twistproxy.model.cluster import ClusterSettings, MaglevSettings, RingHashSettings
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.bounded_load import BoundedLoad
from twistproxy.upstream.lb.least_request import LeastRequest
from twistproxy.upstream.lb.maglev import Maglev
from twistproxy.upstream.lb.random_choice import RandomChoice
from twistproxy.upstream.lb.ring_hash import RingHash
from twistproxy.upstream.lb.round_robin import RoundRobin


class LoadBalancer(Protocol):
    def pick(self) -> Host | None:
        """A host for the next request; None if there is none."""


class HashBalancer(LoadBalancer, Protocol):
    def pick_hash(self, value: int, attempt: int) -> Host | None:
        """The host of a hash (64 bits).  `attempt`: how many hosts of this hash were not acceptable."""


def load_balancer(settings: ClusterSettings, hosts: Sequence[Host], random: Random) -> LoadBalancer:
    """A new balancer over these hosts; sets of hosts are never changed in place."""
    if settings.lb_policy == "LEAST_REQUEST":
        return LeastRequest(hosts, random, settings.least_request_choices)
    if settings.lb_policy == "RANDOM":
        return RandomChoice(hosts, random)
    return RoundRobin(hosts, random)


def hash_table(
    settings: RingHashSettings | MaglevSettings, hosts: Sequence[Host], random: Random
) -> RingHash | Maglev:
    """The same for the policies that look at a hash."""
    if isinstance(settings, RingHashSettings):
        return RingHash(hosts, random, settings)
    return Maglev(hosts, random, settings)


def bounded(
    table: RingHash | Maglev,
    settings: RingHashSettings | MaglevSettings,
    hosts: Sequence[Host],
    random: Random,
    active: Callable[[], int],
) -> HashBalancer:
    """The table with the bound on each host's load, if there is one; `active` requests the cluster has now."""
    if settings.balance_factor:
        return BoundedLoad(table, hosts, settings.balance_factor, active, random)
    return table
