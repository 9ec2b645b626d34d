"""What the attempts of one request add to the statistics of its cluster and hosts."""

from __future__ import annotations

from twistproxy.filters.attempt import Attempt
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host


class ResponseCounts:
    """`also`: a further name under which responses are counted, "" for none."""

    __slots__ = ("_also", "_internal", "_stream")

    def __init__(self, stream: Stream, also: str) -> None:
        self._stream = stream
        self._also = also
        self._internal = b"x-envoy-internal" in stream.head.index

    def charge(self, cluster: Cluster, status: int, host: Host | None) -> None:
        """We answer in the upstream's place."""
        cluster.charge(status, host)
        counts = self._stream.counts
        if counts is not None:
            counts.charge(status)
        self.passed(cluster, status)

    def passed(self, cluster: Cluster, status: int) -> None:
        """A response that the cluster has counted itself."""
        stats = cluster.stats
        if self._internal:
            stats.count_internal(status)
        if self._also:
            stats.count_also(self._also, status)
            stats.count_also(self._also + (".internal" if self._internal else ".external"), status)

    def total_timeout(self, cluster: Cluster) -> None:
        """The request's time was over while an attempt was under way."""
        cluster.stats.upstream_rq_timeout += 1
        counts = self._stream.counts
        if counts is not None:
            counts.timed_out()

    def timed_out(self, cluster: Cluster, status: int, attempt: Attempt) -> None:
        """An attempt without a response was over time; `status`: what we answer with."""
        host = attempt.host
        if status >= 500:
            self.charge(cluster, status, host)
        else:
            # Whatever the client is told, it was the host's fault.
            self.charge(cluster, status, None)
            if host is not None:
                host.stats.rq_error += 1
