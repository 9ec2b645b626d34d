"""Where the attempts of a request go, and what the upstream is told of them."""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.filters.attempt import Attempt, AttemptOwner
from twistproxy.filters.attempt_logs import LoggedAttempt, UpstreamLogs
from twistproxy.filters.kept_request import KeptRequest
from twistproxy.filters.retry_hosts import RetryContext
from twistproxy.filters.timeouts import Timeouts
from twistproxy.model.retry import RequestPlan
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host

ATTEMPT_COUNT = b"x-envoy-attempt-count"


class AttemptMaker:
    """Makes attempts, which are yet to be started.

    cluster      the route's, as it was when the last attempt was made
    get_cluster  name → cluster or None: it may change between attempts
    hosts        knows those that were tried
    logs         None where attempts are not logged
    """

    __slots__ = (
        "_envoy_headers",
        "_get_cluster",
        "_high_priority",
        "_logs",
        "_plan",
        "_request",
        "_stream",
        "_timeouts",
        "cluster",
        "hosts",
    )

    def __init__(
        self,
        stream: Stream,
        cluster: Cluster,
        request: KeptRequest,
        plan: RequestPlan,
        timeouts: Timeouts,
        hosts: RetryContext,
        high_priority: bool,
        envoy_headers: bool,
        get_cluster: Callable[[str], Cluster | None],
        logs: UpstreamLogs | None,
    ) -> None:
        self._stream = stream
        self.cluster = cluster
        self._request = request
        self._plan = plan
        self._timeouts = timeouts
        self.hosts = hosts
        self._high_priority = high_priority
        self._envoy_headers = envoy_headers
        self._get_cluster = get_cluster
        self._logs = logs

    def at(self, host: Host, owner: AttemptOwner) -> Attempt | None:
        """An attempt at this host of `cluster`; None if there may be no further pool."""
        request, stream, cluster = self._request, self._stream, self.cluster
        route = stream.route
        rewrites = None if route is None else route.rewrites
        if rewrites is not None and rewrites.auto_host:
            rewrites.name_host(request.head, host.endpoint.hostname, self._envoy_headers)
        self._timeouts.use_duration(cluster.of(host).max_stream_duration)
        pool = cluster.pool(host, self._high_priority, stream.connection, stream.shared_state())
        if pool is None:
            return None
        head, only, envoy_headers, logs = request.head, request.head_only, self._envoy_headers, self._logs
        if logs is None:
            return Attempt(owner, stream, cluster, pool, head, only, envoy_headers)
        return LoggedAttempt(owner, stream, cluster, pool, head, only, envoy_headers, logs)

    def again(self, owner: AttemptOwner, is_timeout_retry: bool, complete_at: float) -> Attempt | None:
        """A further attempt, at whatever host is chosen now; None if there is none.

        is_timeout_retry  because one before it was too slow
        complete_at       when the request was complete, in seconds of the clock; 0 if it is not
        """
        stream = self._stream
        cluster = self._get_cluster(stream.cluster)
        if cluster is None:
            return None
        self.cluster = cluster
        self.hosts.begin_retry()
        host = cluster.choose(self.hosts)
        if host is None:
            return None
        head = self._request.head
        if self._plan.count_in_request:
            head.set(ATTEMPT_COUNT, b"%d" % stream.attempts)
        if self._plan.tell_timeout_retry:
            head.set(b"x-envoy-is-timeout-retry", b"true" if is_timeout_retry else b"false")
        waited = stream.context.monotonic() - complete_at if complete_at else 0.0
        self._timeouts.tell(head, int(waited * 1000))
        return self.at(host, owner)
