"""What a cluster may ask of a request to choose a host for it."""

from __future__ import annotations

from typing import Any

from twistproxy.api.filter_state import destination
from twistproxy.http.message import RequestHead
from twistproxy.model.address import TcpAddress
from twistproxy.primitives.metadata_match import MetadataMatchCriteria
from twistproxy.route.action import Route
from twistproxy.route.hash_policy import HashPolicies
from twistproxy.stream.stream import Stream
from twistproxy.upstream.choosers.context import LoadBalancerContext, OwnPolicies

#: The dynamic metadata that balancers look at.
_NAMESPACE = "envoy.lb"


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

    def metadata_match(self) -> MetadataMatchCriteria | None:
        """Of the request's own metadata, and where that says nothing of its route's."""
        of_route: MetadataMatchCriteria | None = self._route.metadata_match
        metadata = self._stream.metadata
        own = None if metadata is None else metadata.get(_NAMESPACE)
        if own is None:
            return of_route
        return MetadataMatchCriteria(own) if of_route is None else of_route.merged(own)

    def dynamic_metadata(self) -> dict[str, Any] | None:
        return self._stream.metadata

    def request_header(self, name: bytes) -> bytes | None:
        head = self._head
        if name not in head.index:
            return None
        return head.index[name] if len(head.index) == len(head.items) else head.get_all(name)[0]

    def destination(self) -> TcpAddress | None:
        state = self._stream.filter_state
        return None if state is None else destination(state)

    def original_destination(self) -> TcpAddress | None:
        return self._stream.connection.original_destination


class CopyContext(RequestContext):
    """A copy of a request, which wants of a host what the request does but has no hash."""

    __slots__ = ()

    def hash(self, own: OwnPolicies) -> int | None:
        return None

    def destination(self) -> TcpAddress | None:
        """It has no filter state."""
        return None

    def original_destination(self) -> TcpAddress | None:
        """It came on no connection."""
        return None


def hash_of(of_route: HashPolicies | None, own: OwnPolicies, head: RequestHead, stream: Stream) -> int | None:
    """By the cluster's own policies; if it has none, by the route's.  None where they find nothing."""
    if own.settings:
        compiled = own.compiled
        if not isinstance(compiled, HashPolicies):
            compiled = own.compiled = HashPolicies(own.settings)
        return compiled.hash(head, stream)
    return None if of_route is None else of_route.hash(head, stream)
