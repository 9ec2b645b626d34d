"""The terminal HTTP filter: route → cluster → host → pool (Envoy: configuration/http/http_filters/router_filter)."""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.api.filter_state import FilterState, Shared, is_not_forwarded
from twistproxy.filters.attempt_logs import LoggedUpgrade, UpstreamLogs
from twistproxy.filters.attempt_maker import ATTEMPT_COUNT, AttemptMaker
from twistproxy.filters.balancer_context import RequestContext
from twistproxy.filters.internal_redirect import Redirector
from twistproxy.filters.kept_request import BUFFER_LIMIT, KeptRequest, body_limit
from twistproxy.filters.retry_hosts import RetryContext
from twistproxy.filters.retry_state import retry_state
from twistproxy.filters.retrying_request import RetryingRequest
from twistproxy.filters.router_headers import ROUTER_HEADERS, misspelt
from twistproxy.filters.shadow import mirror
from twistproxy.filters.timeouts import Timeouts, stream_duration
from twistproxy.filters.upgrade_request import UpgradeRequest
from twistproxy.filters.upstream_request import UpstreamRequest
from twistproxy.http.headers import Header
from twistproxy.http.message import RequestHead
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.model.retry import NO_PLAN, RequestPlan, RetryPolicy
from twistproxy.model.upgrade import ConnectSettings
from twistproxy.observe import flags
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.route.action import Route
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster

_EXPECTED_TIMEOUT = b"x-envoy-expected-rq-timeout-ms"
_ALSO = b"x-envoy-upstream-alt-stat-name"


class RouterFilter:
    """One router for all streams of a connection manager.

    get_cluster    name → cluster or None, asked anew for each request
    wall           seconds since the epoch
    settings       of the connection manager; `without_routes` will do
    buffer_limit   bytes of a request that are kept for another attempt
    upstream_logs  None where nobody wants to know of attempts
    """

    __slots__ = (
        "_buffer_limit",
        "_envoy_headers",
        "_get_cluster",
        "_respect_expected",
        "_special",
        "_stats",
        "_strict",
        "_upstream_logs",
        "_wall",
    )

    def __init__(
        self,
        get_cluster: Callable[[str], Cluster | None],
        stats: HttpManagerStats,
        settings: HttpManagerSettings,
        wall: Callable[[], float],
        buffer_limit: int | None = None,
        upstream_logs: UpstreamLogs | None = None,
    ) -> None:
        self._get_cluster = get_cluster
        self._stats = stats
        self._wall = wall
        self._envoy_headers = settings.envoy_headers
        self._strict = settings.strict_check_headers
        self._respect_expected = settings.respect_expected_rq_timeout
        self._buffer_limit = BUFFER_LIMIT if buffer_limit is None else buffer_limit
        self._upstream_logs = upstream_logs
        # Whether a request may have to be looked at for headers that tell the router what to do, which come from clients
        # inside or from filters, or is to be logged by attempts.
        self._special = bool(settings.internal_cidrs or self._strict or settings.filters or upstream_logs)

    def decode_headers(self, stream: Stream, head: RequestHead, end_stream: bool) -> None:
        stats = self._stats
        stats.rq_total += 1
        route: Route | None = stream.route
        if route is None:
            stats.no_route += 1
            stream.local_reply(404, b"", flags.NR, "route_not_found")
            return
        name = route.cluster
        if name is None:
            self._answer(stream, route, head)
            return
        cluster = self._get_cluster(name)
        if cluster is None:
            stats.no_cluster += 1
            stream.local_reply(route.not_found_status, b"", flags.NC, "cluster_not_found")
            return
        stream.cluster = name
        if cluster.maintenance and stream.random_value() % 100 < cluster.maintenance:
            self._in_maintenance(stream, cluster)
            return
        if route.counting is not None:
            stream.counts = route.counting.begin(head)
        stream.attempts = 1
        if route.plan is not None or self._special or cluster.special:
            if self._forward_specially(stream, route, cluster, head, end_stream):
                return
        host = cluster.choose(RequestContext(stream, route, head)) if cluster.contextual else cluster.pick()
        if host is None:
            self._no_host(stream, cluster)
            return
        if route.timeout:
            if self._envoy_headers:
                head.set(_EXPECTED_TIMEOUT, route.timeout_text)
            if end_stream:
                stream.set_timeout(stream.start + route.timeout)
        rewrites = route.rewrites
        if rewrites is not None:
            rewrites.apply(head, stream, self._envoy_headers)
            if rewrites.auto_host:
                rewrites.name_host(head, host.endpoint.hostname, self._envoy_headers)
        shared: Shared | None = None
        if stream.filter_state is not None:
            if self._ends(stream, stream.filter_state):
                return
            shared = stream.shared_state()
        begins = route.connect is not None and _ends_here(route.connect, head.method)
        if begins:
            pool = cluster.tcp_pool(host, route.high_priority, stream.connection, shared)
        else:
            pool = cluster.pool(host, route.high_priority, stream.connection, shared)
        if pool is None:
            self._no_pool(stream, cluster)
            return
        timeout, envoy_headers = route.timeout, self._envoy_headers
        request: UpstreamRequest
        if not begins and (end_stream or (b"upgrade" not in head.index and head.path)):
            request = UpstreamRequest(stream, cluster, pool, head, end_stream, timeout, envoy_headers)
        else:
            logs = self._upstream_logs
            if logs is None:
                request = UpgradeRequest(stream, cluster, pool, head, end_stream, timeout, envoy_headers)
            else:
                request = LoggedUpgrade(stream, cluster, pool, head, end_stream, timeout, envoy_headers, logs)
        stream.upstream = request
        request.start()
        if route.watched and not isinstance(request, UpgradeRequest):
            self._watch(stream, route, cluster, head, end_stream, timeout)

    def _ends(self, stream: Stream, state: FilterState) -> bool:
        """Whether the filter state has the request answered here."""
        if is_not_forwarded(state):
            stream.local_reply(204, b"", 0, "", ((b"x-envoy-not-forwarded", b"true"),))
            return True
        return False

    def _watch(
        self,
        stream: Stream,
        route: Route,
        cluster: Cluster,
        head: RequestHead,
        end_stream: bool,
        timeout: float,
    ) -> None:
        """The request is on its way: keep and copy what follows, as far as the route says.  `timeout` in seconds."""
        redirects = route.internal_redirects
        if redirects is not None and stream.upstream is not None:
            limit = body_limit(route.plan or NO_PLAN, self._buffer_limit)
            redirector = Redirector(stream.upstream, stream, route, redirects, cluster, self._stats, limit)
            stream.upstream = stream.extra().follower = redirector
        if route.mirrors is not None:
            mirror(stream, route, head, end_stream, timeout, self._get_cluster)

    def _in_maintenance(self, stream: Stream, cluster: Cluster) -> None:
        """The runtime key upstream.maintenance_mode.<cluster>."""
        cluster.stats.upstream_rq_maintenance_mode += 1
        cluster.charge(503, None)
        headers: tuple[Header, ...] = ((b"x-envoy-overloaded", b"true"),) if self._envoy_headers else ()
        stream.local_reply(503, b"maintenance mode", flags.UO, "maintenance_mode", headers)

    def _no_host(self, stream: Stream, cluster: Cluster) -> None:
        cluster.stats.upstream_cx_none_healthy += 1
        self._no_pool(stream, cluster)

    def _no_pool(self, stream: Stream, cluster: Cluster) -> None:
        """There are as many pools as there may be: Envoy says the same as if there was no host."""
        cluster.charge(503, None)
        if stream.counts is not None:
            stream.counts.charge(503)
        stream.local_reply(503, b"no healthy upstream", flags.UH, "no_healthy_upstream")

    def _forward_specially(
        self, stream: Stream, route: Route, cluster: Cluster, head: RequestHead, end_stream: bool
    ) -> bool:
        """Forward a request of which the route, the cluster or the request itself wants more than one attempt within the
        route's timeout.  False if nobody does."""
        plan = route.plan
        if self._strict and self._refuse_misspelt(stream, head):
            return True
        if plan is not None:
            stream.set_limits(plan.idle_timeout, stream_duration(plan, head))
        if route.connect is not None or (not end_stream and (b"upgrade" in head.index or not head.path)):
            return False  # a tunnel is tried once
        if (
            route.one_attempt
            and not cluster.special
            and self._upstream_logs is None
            and ROUTER_HEADERS.isdisjoint(head.index)
        ):
            return False
        if plan is None:
            plan = NO_PLAN
        # A cluster's policy takes the place of the route's, though not of its time limits, as in Envoy.
        policy = cluster.retry or plan.retry
        hosts = RetryContext(stream, route, head, policy)
        host = cluster.choose(hosts)
        if host is None:
            self._no_host(stream, cluster)
            return True
        if stream.filter_state is not None and self._ends(stream, stream.filter_state):
            return True
        also = head.get(_ALSO)
        if also is not None:
            head.remove(_ALSO)
        timeouts = Timeouts(
            plan,
            route.timeout,
            cluster.max_stream_duration,
            head,
            self._envoy_headers,
            self._respect_expected,
        )
        if plan.count_in_request:
            head.set(ATTEMPT_COUNT, b"1")
        if route.rewrites is not None:
            route.rewrites.apply(head, stream, self._envoy_headers)
        kept = KeptRequest(head, body_limit(plan, self._buffer_limit), end_stream)
        counted_as = "" if also is None else also.decode("latin-1")
        request = self._retrying(stream, route, cluster, kept, plan, timeouts, hosts, policy, counted_as)
        stream.upstream = request
        request.start(host)
        if route.watched:
            self._watch(stream, route, cluster, head, end_stream, timeouts.total / 1000)
        return True

    def _retrying(
        self,
        stream: Stream,
        route: Route,
        cluster: Cluster,
        kept: KeptRequest,
        plan: RequestPlan,
        timeouts: Timeouts,
        hosts: RetryContext,
        policy: RetryPolicy,
        counted_as: str,
    ) -> RetryingRequest:
        """`counted_as`: a further name under which responses are counted, "" for none."""
        context = stream.context
        retry = retry_state(
            policy,
            kept.head,
            cluster.stats,
            cluster.limits[route.high_priority],
            context.random,
            self._wall,
            context.runtime,
        )
        if retry is not None:
            retry.counts = stream.counts
        maker = AttemptMaker(
            stream,
            cluster,
            kept,
            plan,
            timeouts,
            hosts,
            route.high_priority,
            self._envoy_headers,
            self._get_cluster,
            self._upstream_logs,
        )
        return RetryingRequest(stream, kept, plan, timeouts, retry, maker, counted_as)

    def _refuse_misspelt(self, stream: Stream, head: RequestHead) -> bool:
        """Whether a header for the router says what it cannot."""
        wrong = misspelt(head, self._strict)
        if wrong is None:
            return False
        name, value = wrong
        body = b"invalid header '%b' with value '%b'" % (name, value)
        details = f"request_headers_failed_strict_check{{{name.decode()}}}"
        stream.local_reply(400, body, flags.IH, details)
        return True

    def _answer(self, stream: Stream, route: Route, head: RequestHead) -> None:
        self._stats.rq_direct_response += 1
        redirect = route.redirect
        if redirect is not None:
            location: tuple[Header, ...] = (
                (b"location", redirect.location(head, stream, self._envoy_headers)),
            )
            stream.local_reply(redirect.status, b"", 0, "direct_response", location)
            return
        direct = route.direct_response
        assert direct is not None
        stream.local_reply(
            direct.status,
            direct.body(stream),
            0,
            "direct_response",
            direct.headers(head),
            direct.content_type,
        )


def _ends_here(connect: ConnectSettings, method: bytes) -> bool:
    """Whether a request becomes a TCP connection."""
    return method == b"CONNECT" or (connect.allow_post and method == b"POST")
