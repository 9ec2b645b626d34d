"""What a cluster may ask of a request to choose a host for it."""

from __future__ import annotations

from twistproxy.http.message import RequestHead
from twistproxy.route.action import Route
from twistproxy.route.hash_policy import HashPolicies
from twistproxy.stream.stream import Stream
from twistproxy.upstream.choosers.context import LoadBalancerContext, OwnPolicies


class RequestContext(LoadBalancerContext):
    """A request on its way by a route, for the choice of one host."""

    __slots__ = ("_head", "_route", "_stream")

    def __init__(self, stream: Stream, route: Route, head: RequestHead, host_attempts: int = 0) -> None:
        super().__init__(host_attempts)
        self._stream = stream
        self._route = route
        self._head = head

    def hash(self, own: OwnPolicies) -> int | None:
        return hash_of(self._route.hash_policies, own, self._head, self._stream)


def hash_of(of_route: HashPolicies | None, own: OwnPolicies, head: RequestHead, stream: Stream) -> int | None:
    """By the cluster's own policies; if it has none, by the route's.  None where they find nothing."""
    if own.settings:
        compiled = own.compiled
        if not isinstance(compiled, HashPolicies):
            compiled = own.compiled = HashPolicies(own.settings)
        return compiled.hash(head, stream)
    return None if of_route is None else of_route.hash(head, stream)
