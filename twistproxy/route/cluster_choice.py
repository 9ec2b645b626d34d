"""Routes whose cluster is chosen for each request: named by a header, or one of several by weight.

What is chosen is a `Route` of its own, compiled beforehand, so that whoever reads a route need not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twistproxy.http.header_match import is_pseudo, pseudo_header
from twistproxy.http.message import RequestHead
from twistproxy.model.hash_policy import CookieHash
from twistproxy.model.http_filters import FilterLevel
from twistproxy.model.route import (
    ClusterAction,
    ClusterHeader,
    RouteSettings,
    WeightedCluster,
    WeightedClusters,
)
from twistproxy.primitives.string_match import parse_integer
from twistproxy.route.action import Route
from twistproxy.route.hash_policy import HashPolicies

#: Names that headers gave and whose routes are kept; a client that makes up names only costs their making.
_MAX_KEPT = 256

_MOST_UINT64 = 0xFFFFFFFFFFFFFFFF

_MakeRoute = Callable[[str], Route]


class ClusterChoice:
    """The base of all."""

    __slots__ = ()

    def choose(self, head: RequestHead, stream: Any) -> Route:
        """The route with the cluster of this request; `stream` may be None, and its random number then counts as 0."""
        raise NotImplementedError


class Fixed(ClusterChoice):
    """No choice."""

    __slots__ = ("_route",)

    def __init__(self, route: Route) -> None:
        self._route = route

    def choose(self, head: RequestHead, stream: Any) -> Route:
        return self._route


class ByHeader(ClusterChoice):
    """The cluster that a header names; its first field counts, since it is the client's (Envoy: cluster_header).

    A header that is missing names "", which is no cluster.
    """

    __slots__ = ("_header", "_kept", "_make", "_pseudo")

    def __init__(self, header: str, make: _MakeRoute) -> None:
        self._header = header.lower().encode()
        self._pseudo = is_pseudo(self._header)
        self._make = make
        self._kept: dict[bytes, Route] = {}

    def choose(self, head: RequestHead, stream: Any) -> Route:
        if self._pseudo:
            name = pseudo_header(head, self._header) or b""
        else:
            name = head.index.get(self._header, b"")
            if len(head.index) != len(head.items) and name:
                name = head.get_all(self._header)[0]
        route = self._kept.get(name)
        if route is None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            route = self._make(name.decode("utf-8", "replace"))
            self._kept[name] = route
        return route


class ByWeight(ClusterChoice):
    """One of several, each in proportion to its weight.

    The number that decides is the request's own, the same whenever it is asked, or comes from a header.
    """

    __slots__ = ("_choices", "_hashing", "_header", "_keys", "_total", "_weights")

    def __init__(
        self,
        settings: WeightedClusters,
        make: Callable[[WeightedCluster], ClusterChoice],
        hashing: HashPolicies | None,
    ) -> None:
        self._hashing = hashing
        self._choices = [make(one) for one in settings.clusters]
        self._weights = [one.weight for one in settings.clusters]
        self._total = sum(self._weights)
        self._header = settings.header_name.lower().encode()
        prefix = settings.runtime_key_prefix
        self._keys = [f"{prefix}.{one.cluster}" for one in settings.clusters] if prefix else []

    def choose(self, head: RequestHead, stream: Any) -> Route:
        weights = self._weights
        total = self._total
        if self._keys and stream is not None:
            runtime = stream.context.runtime
            weights = [
                runtime.get_integer(key, weight) for key, weight in zip(self._keys, weights, strict=True)
            ]
            # Weights that the runtime made all 0 are none.
            total = sum(weights)
            if not total:
                weights, total = self._weights, self._total
        number = self._number(head, stream) % total
        chosen = 0
        while number >= weights[chosen]:
            number -= weights[chosen]
            chosen += 1
        return self._choices[chosen].choose(head, stream)

    def _number(self, head: RequestHead, stream: Any) -> int:
        if self._header:
            # One field with an integer, or the header says nothing.
            values = head.get_all(self._header) if self._header in head.index else []
            number = parse_integer(values[0]) if len(values) == 1 else None
            if number is not None and 0 <= number <= _MOST_UINT64:
                return number
        if stream is None:
            return 0
        if self._hashing is not None:
            found = self._hashing.hash(head, stream)
            if found is not None:
                return found
        return int(stream.random_value())


def compile_choice(
    settings: RouteSettings, compile_route: Callable[[RouteSettings, WeightedCluster], Route]
) -> ClusterChoice:
    """What a route leads to.  `compile_route` makes the route for one of its clusters."""
    action = settings.action
    if not isinstance(action, ClusterAction) or action.choice is None:
        return Fixed(compile_route(settings, WeightedCluster(1)))
    plain = action
    choice = action.choice

    def to_cluster(name: str, one: WeightedCluster, filters: tuple[FilterLevel, ...]) -> Route:
        forward = replace(plain, cluster=name, choice=None)
        return compile_route(replace(settings, action=forward, filters=filters), one)

    def weighted(one: WeightedCluster) -> ClusterChoice:
        # One object, however many routes headers name: chains of filters are made and kept by it.
        filters = (one.filters, *settings.filters) if one.filters else settings.filters
        if one.cluster_header:
            return ByHeader(one.cluster_header, lambda name: to_cluster(name, one, filters))
        return Fixed(to_cluster(one.cluster, one, filters))

    if isinstance(choice, ClusterHeader):
        return weighted(WeightedCluster(1, cluster_header=choice.name))
    hashing: HashPolicies | None = None
    if choice.use_hash_policy:
        # Cookies are made when the host is chosen, not here.
        policies = [
            replace(one, ttl=None) if isinstance(one, CookieHash) else one for one in plain.hash_policies
        ]
        hashing = HashPolicies(tuple(policies))
    return ByWeight(choice, weighted, hashing)
