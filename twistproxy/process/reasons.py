"""What `%REASON%` asks beyond the stream: route tables and clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twistproxy.model.health import UNHEALTHY, in_words
from twistproxy.route.table import RouteTable
from twistproxy.upstream.cluster import Cluster


class _Listener(Protocol):
    table: RouteTable


class Reasons:
    """`observe.log_reason.ReasonSource` of one listener."""

    def __init__(self, listener: _Listener, get_cluster: Callable[[str], Cluster | None]) -> None:
        self._listener = listener
        self._get_cluster = get_cluster

    def no_route(self, stream: Any) -> str:
        table = self._listener.table
        found = table.consider(stream.head, stream)
        if found.virtual_host is None:
            return (
                f"no virtual host of '{table.name}' is for this host" if table.name else "no virtual host is"
            )
        count = len(found.considered)
        which = (
            "has no routes" if not count else f"has none (of {count} {'route' if count == 1 else 'routes'})"
        )
        return f"virtual host '{found.virtual_host.name}' {which}"

    def no_host(self, cluster: str) -> str:
        found = self._get_cluster(cluster)
        if found is None or not found.hosts:
            why = "" if found is None or found.warm else ": discovery has not told any so far"
            return f"cluster '{cluster}' has no host{why}"
        total = len(found.hosts)
        bad = Counter(
            "; ".join(in_words(host.flags)) for host in found.hosts.values() if host.flags & UNHEALTHY
        )
        if not bad:
            return f"cluster '{cluster}' offers none of its {total} hosts to this request"
        counted = ", ".join(f"{count} of {total} ({words})" for words, count in bad.items())
        return f"cluster '{cluster}' has no healthy host: {counted}"

    def overflow(self, stream: Any) -> str:
        name = stream.cluster
        found = self._get_cluster(name)
        if found is None:
            return f"circuit breaker of cluster '{name}'"
        high = stream.route is not None and stream.route.high_priority
        limits = found.limits[int(high)]
        connections, pending, requests, _ = limits.in_use()
        if pending >= limits.max_pending:
            full = f"{pending} pending requests"
        elif requests >= limits.max_requests:
            full = f"{requests} requests"
        else:
            full = f"{connections} connections"
        return f"circuit breaker: {full} in cluster '{name}'" + (" at high priority" if high else "")

    def cluster_metadata(self, cluster: str) -> Mapping[str, Any] | None:
        found = self._get_cluster(cluster)
        return None if found is None else found.settings.metadata

    def connect_timeout(self, cluster: str) -> float:
        found = self._get_cluster(cluster)
        return 0.0 if found is None else found.settings.connect_timeout
