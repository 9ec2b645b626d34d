"""What a hash balancer gets of a request."""

from __future__ import annotations

from twistproxy.http.message import RequestHead
from twistproxy.route.hash_policy import HashPolicies
from twistproxy.stream.stream import Stream
from twistproxy.upstream.hashing import HashTables


def hash_of(
    of_route: HashPolicies | None, hashing: HashTables, head: RequestHead, stream: Stream
) -> int | None:
    """By the cluster's own policies; if it has none, by the route's.  None where they find nothing."""
    if hashing.policies:
        own: HashPolicies | None = hashing.compiled
        if own is None:
            own = hashing.compiled = HashPolicies(hashing.policies)
        return own.hash(head, stream)
    return None if of_route is None else of_route.hash(head, stream)
