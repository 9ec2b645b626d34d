"""Where a retry goes (Envoy: arch_overview/http/http_connection_management#retry-plugin-configuration)."""

from __future__ import annotations

import json
from typing import Any

from twistproxy.filters.balancer_context import RequestContext
from twistproxy.http.message import RequestHead
from twistproxy.model.retry import RetryPolicy
from twistproxy.primitives.metadata_match import has_labels
from twistproxy.route.action import Route
from twistproxy.stream.stream import Stream
from twistproxy.upstream.choosers.context import OwnPolicies, PrioritySet
from twistproxy.upstream.host import Host


class RetryContext(RequestContext):
    """A request that may take several attempts: the hosts that were tried, and what the policy's predicates say of
    others.  The first attempt has nothing to avoid but canaries, which it does not."""

    __slots__ = ("_avoided", "_hash", "_hashed", "_policy", "_recent", "_tried")

    def __init__(self, stream: Stream, route: Route, head: RequestHead, policy: RetryPolicy) -> None:
        super().__init__(stream, route, head)
        self._policy = policy
        self._hash: int | None = None
        self._hashed = False
        self._tried: list[Host] = []
        self._recent: list[Host] = []  # the hosts that were tried, since they were last forgotten
        self._avoided: frozenset[int] = frozenset()

    def tried(self, host: Host) -> None:
        self._tried.append(host)
        self._recent.append(host)

    def begin_retry(self) -> None:
        """From now on the predicates count."""
        self.host_attempts = self._policy.host_attempts

    def hash(self, own: OwnPolicies) -> int | None:
        """The same for all attempts."""
        if not self._hashed:
            self._hashed = True
            self._hash = super().hash(own)
        return self._hash

    def avoided_priorities(self, priorities: PrioritySet) -> frozenset[int]:
        every = self._policy.priority_updates
        if every and self._recent and len(self._recent) % every == 0:
            self._avoided = frozenset([priorities.priority_of(host) for host in self._recent])
        if self._avoided and not priorities.has_others(self._avoided):
            # All have had their turn: begin again.
            self._avoided = frozenset()
            self._recent = []
        return self._avoided

    def should_select_another(self, host: Host) -> bool:
        policy = self._policy
        if (policy.other_hosts and host in self._tried) or (policy.no_canaries and host.endpoint.canary):
            return True
        return bool(policy.no_labels) and has_labels(_metadata(host), policy.no_labels)


def _metadata(host: Host) -> dict[str, Any]:
    """What a balancer may know of a host."""
    text = host.endpoint.metadata
    found: dict[str, Any] = json.loads(text).get("envoy.lb", {}) if text else {}
    return found
