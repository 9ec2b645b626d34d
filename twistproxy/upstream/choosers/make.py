"""Cluster settings to a chooser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twistproxy.api.clock import Clock
from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import ClusterSettings
from twistproxy.upstream.choosers.aggregate import AggregateChooser, Member
from twistproxy.upstream.choosers.base import Chooser
from twistproxy.upstream.choosers.hashing import HashChooser
from twistproxy.upstream.choosers.original_dst import OriginalDstChooser
from twistproxy.upstream.choosers.override import OverrideChooser
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.choosers.peeking import looking_ahead
from twistproxy.upstream.choosers.priorities import PriorityChooser
from twistproxy.upstream.choosers.subsets import SubsetChooser

#: Tells the discovery process something; False if there is none just now (`DiscoveryLink.say`).
Say = Callable[[str, dict[str, Any]], bool]


def make_chooser(
    settings: ClusterSettings,
    params: LoadBalancerParams,
    clock: Clock,
    say: Say | None,
    get: Callable[[str], Member | None] | None,
) -> Chooser:
    """A chooser that knows no host yet.  `say` and `get` as in `upstream.cluster`."""
    if settings.aggregate:
        return AggregateChooser(params, settings.aggregate, get or _nobody)
    original = settings.original_dst
    if original is not None:

        def tell(addresses: list[TcpAddress]) -> None:
            if say is not None:
                say("original_dst", {"cluster": settings.name, "used": addresses})

        return OriginalDstChooser(settings.name, original, params.stats, clock, tell)
    subsets = params.balancing.subsets
    chooser = _within_all(params) if subsets is None else SubsetChooser(params, subsets, _within_all)
    if settings.predictive_preconnect_ratio > 1.0:
        chooser = looking_ahead(chooser, settings.balancing.policy)
    overrides = params.balancing.overrides
    return OverrideChooser(chooser, overrides) if overrides else chooser


def _within_all(params: LoadBalancerParams) -> Chooser:
    hashing = params.balancing.hashing
    return PriorityChooser(params) if hashing is None else HashChooser(params, hashing)


def _nobody(name: str) -> Member | None:
    return None
