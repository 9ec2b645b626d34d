"""The terminal HTTP filter: route → cluster → host → pool (Envoy: configuration/http/http_filters/router_filter)."""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.filters.upgrade_request import UpgradeRequest
from twistproxy.filters.upstream_request import UpstreamRequest
from twistproxy.http.headers import Header
from twistproxy.http.message import RequestHead
from twistproxy.model.upgrade import ConnectSettings
from twistproxy.observe import flags
from twistproxy.observe.stats import HttpManagerStats
from twistproxy.route.action import Route
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster

_EXPECTED_TIMEOUT = b"x-envoy-expected-rq-timeout-ms"


class RouterFilter:
    """One router for all streams of a connection manager.

    get_cluster  name → cluster or None, asked anew for each request
    envoy_headers  False suppresses the x-envoy-* headers that the router adds (`suppress_envoy_headers`)
    """

    __slots__ = ("_envoy_headers", "_get_cluster", "_stats")

    def __init__(
        self,
        get_cluster: Callable[[str], Cluster | None],
        stats: HttpManagerStats,
        envoy_headers: bool = True,
    ) -> None:
        self._get_cluster = get_cluster
        self._stats = stats
        self._envoy_headers = envoy_headers

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
        stream.attempts = 1
        policies = route.hash_policies
        if policies is not None and cluster.hashing is not None:
            host = cluster.pick_hash(policies.hash(head, stream))
        else:
            host = cluster.pick()
        if host is None:
            cluster.stats.upstream_cx_none_healthy += 1
            cluster.charge(503, None)
            stream.local_reply(503, b"no healthy upstream", flags.UH, "no_healthy_upstream")
            return
        if route.timeout:
            if self._envoy_headers:
                head.set(_EXPECTED_TIMEOUT, route.timeout_text)
            if end_stream:
                stream.set_timeout(stream.start + route.timeout)
        if route.rewrites:
            route.rewrite(head, stream)
        pool = cluster.pool(host, route.high_priority)
        timeout, envoy_headers = route.timeout, self._envoy_headers
        request: UpstreamRequest
        if route.connect is not None and _ends_here(route.connect, head.method):
            pool = cluster.tcp_pool(host, route.high_priority)
            request = UpgradeRequest(stream, cluster, pool, head, end_stream, timeout, envoy_headers)
        elif end_stream or (b"upgrade" not in head.index and head.path):
            request = UpstreamRequest(stream, cluster, pool, head, end_stream, timeout, envoy_headers)
        else:
            request = UpgradeRequest(stream, cluster, pool, head, end_stream, timeout, envoy_headers)
        stream.upstream = request
        request.start()

    def _answer(self, stream: Stream, route: Route, head: RequestHead) -> None:
        self._stats.rq_direct_response += 1
        redirect = route.redirect
        if redirect is not None:
            location: tuple[Header, ...] = ((b"location", route.location(head)),)
            stream.local_reply(redirect.status, b"", 0, "direct_response", location)
            return
        direct = route.direct_response
        assert direct is not None
        headers: tuple[Header, ...] = ()
        if direct.status == 201 or direct.status // 100 == 3:
            headers = ((b"location", route.location(head)),)  # RFC 9110 section 10.2.2
        stream.local_reply(direct.status, direct.body, 0, "direct_response", headers)


def _ends_here(connect: ConnectSettings, method: bytes) -> bool:
    """Whether a request becomes a TCP connection."""
    return method == b"CONNECT" or (connect.allow_post and method == b"POST")
