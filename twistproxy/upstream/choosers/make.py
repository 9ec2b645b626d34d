"""Cluster settings to a chooser."""

from __future__ import annotations

from twistproxy.upstream.choosers.base import Chooser
from twistproxy.upstream.choosers.hashing import HashChooser
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.choosers.priorities import PriorityChooser
from twistproxy.upstream.choosers.subsets import SubsetChooser


def make_chooser(params: LoadBalancerParams) -> Chooser:
    """A chooser that knows no host yet."""
    subsets = params.balancing.subsets
    return _within_all(params) if subsets is None else SubsetChooser(params, subsets, _within_all)


def _within_all(params: LoadBalancerParams) -> Chooser:
    hashing = params.balancing.hashing
    return PriorityChooser(params) if hashing is None else HashChooser(params, hashing)
