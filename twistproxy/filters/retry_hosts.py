"""Where a retry goes (Envoy: arch_overview/http/http_connection_management#retry-plugin-configuration)."""

from __future__ import annotations

from twistproxy.model.retry import RetryPolicy
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host


class HostChoice:
    """The hosts that were tried for one request, and the choice of others by the policy's predicates.

    hash_value  of the request, for clusters whose balancer goes by it
    """

    __slots__ = ("_avoided", "_hash", "_policy", "_priorities", "_tried")

    def __init__(self, policy: RetryPolicy, hash_value: int | None) -> None:
        self._policy = policy
        self._hash = hash_value
        self._tried: list[Host] = []
        self._priorities: list[int] = []  # of the hosts that were tried, since they were last forgotten
        self._avoided: frozenset[int] = frozenset()

    def tried(self, host: Host) -> None:
        self._tried.append(host)
        self._priorities.append(host.endpoint.priority)

    def pick(self, cluster: Cluster) -> Host | None:
        """A host that the predicates like, if a few looks find one; else any."""
        policy = self._policy
        every = policy.priority_updates
        if every and cluster.hashing is None and self._priorities and len(self._priorities) % every == 0:
            self._avoided = frozenset(self._priorities)
            if cluster.pick_without(self._avoided) is None:
                # All have had their turn: begin again.
                self._avoided = frozenset()
                self._priorities = []
        host = self._look(cluster, 0)
        for number in range(1, policy.host_attempts + 1):
            if host is None or not self._disliked(host):
                break
            host = self._look(cluster, number)
        return host

    def first(self, cluster: Cluster) -> Host | None:
        """The host of the first attempt."""
        return self._look(cluster, 0)

    def _look(self, cluster: Cluster, number: int) -> Host | None:
        """`number`: how many hosts were looked at before."""
        if cluster.hashing is not None:
            return cluster.pick_hash(self._hash, number)
        return cluster.pick_without(self._avoided) if self._avoided else cluster.pick()

    def _disliked(self, host: Host) -> bool:
        policy = self._policy
        return (policy.other_hosts and host in self._tried) or (policy.no_canaries and host.endpoint.canary)
