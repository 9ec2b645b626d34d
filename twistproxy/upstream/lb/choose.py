"""Cluster settings and hosts to a load balancer."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from twistproxy.model.cluster import ClusterSettings
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.least_request import LeastRequest
from twistproxy.upstream.lb.random_choice import RandomChoice
from twistproxy.upstream.lb.round_robin import RoundRobin


class LoadBalancer(Protocol):
    def pick(self) -> Host | None:
        """A host for the next request; None if there is none."""


def load_balancer(settings: ClusterSettings, hosts: Sequence[Host], random: Random) -> LoadBalancer:
    """A new balancer over these hosts; sets of hosts are never changed in place."""
    if settings.lb_policy == "LEAST_REQUEST":
        return LeastRequest(hosts, random, settings.least_request_choices)
    if settings.lb_policy == "RANDOM":
        return RandomChoice(hosts, random)
    return RoundRobin(hosts, random)
