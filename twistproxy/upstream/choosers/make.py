"""Cluster settings to a chooser."""

from __future__ import annotations

from twistproxy.upstream.choosers.base import Chooser
from twistproxy.upstream.choosers.hashing import HashChooser
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.choosers.priorities import PriorityChooser


def make_chooser(params: LoadBalancerParams) -> Chooser:
    """A chooser that knows no host yet."""
    hashing = params.settings.hashing
    return PriorityChooser(params) if hashing is None else HashChooser(params, hashing)
