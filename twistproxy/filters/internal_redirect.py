"""Redirects that are followed in place of the client (Envoy: arch_overview/http/http_connection_management
#internal-redirects).

A request whose route wants it has a `Redirector` between its stream and its upstream, which keeps the request's
content.  When a redirect comes, the stream begins anew: with the new host and path, through all filters.
"""

from __future__ import annotations

from twistproxy.api.filter_state import is_open
from twistproxy.api.http_filter import UpstreamSide
from twistproxy.http.headers import HeaderMap, first_value
from twistproxy.http.location import parse_location
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.internal_redirect import (
    AllowListedRoutes,
    GateInState,
    InternalRedirectSettings,
    PreviousRoutes,
    RedirectPredicate,
)
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.route.action import Route
from twistproxy.stream.anew import begin_anew
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster

_LOCATION = b"location"
_ORIGINAL_URL = b"x-envoy-original-url"


class Redirector:
    """`api.http_filter.UpstreamSide` and `stream.extras.Follower`.

    limit  bytes of content that are kept; a longer request's redirects are the client's business
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_cluster",
        "_inner",
        "_limit",
        "_route",
        "_settings",
        "_stats",
        "_stream",
        "_too_long",
        "_trailers",
    )

    def __init__(
        self,
        inner: UpstreamSide,
        stream: Stream,
        route: Route,
        settings: InternalRedirectSettings,
        cluster: Cluster,
        stats: HttpManagerStats,
        limit: int,
    ) -> None:
        self._inner = inner
        self._stream = stream
        self._route = route
        self._settings = settings
        self._cluster = cluster
        self._stats = stats
        self._limit = limit
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._too_long = False
        self._trailers: HeaderMap | None = None

    # ---- from the stream: `UpstreamSide`

    def send_data(self, data: bytes, end_stream: bool) -> None:
        if not self._too_long:
            self._body_bytes += len(data)
            if self._body_bytes > self._limit:
                self._too_long = True
                self._body = []
                self._cluster.stats.retry_or_shadow_abandoned += 1
            else:
                self._body.append(data)
        self._inner.send_data(data, end_stream)

    def send_trailers(self, trailers: HeaderMap) -> None:
        self._trailers = HeaderMap(list(trailers.items))
        self._inner.send_trailers(trailers)

    def flush_request(self) -> None:
        self._inner.flush_request()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def timed_out(self) -> None:
        self._inner.timed_out()

    def cancel(self) -> None:
        self._inner.cancel()

    # ---- from the upstream's response: `Follower`

    def follow(self, head: ResponseHead, end_stream: bool) -> bool:
        if head.status not in self._settings.statuses:
            return False
        stats = self._cluster.stats
        stream = self._stream
        if (
            not stream.request_ended_at
            or self._too_long
            or _LOCATION not in head.index
            or not self._redirect(stream.head, head)
        ):
            stats.upstream_internal_redirect_failed_total += 1
            return False
        stats.upstream_internal_redirect_succeeded_total += 1
        self._inner.cancel()
        begin_anew(stream, head, self, not self._body_bytes and self._trailers is None)
        return True

    def replay(self) -> None:
        """Give the new beginning the request's content."""
        stream = self._stream
        trailers = self._trailers
        body = b"".join(self._body)
        if body:
            stream.decode_data(body, trailers is None)
        if trailers is not None:
            stream.decode_trailers(trailers)

    def _redirect(self, head: RequestHead, response: ResponseHead) -> bool:
        """Change the request's head to what the redirect says, and pick its route.  False: it must not be followed,
        and the head is as it was."""
        stats = self._stats
        stream = self._stream
        settings = self._settings
        location = parse_location(first_value(response, _LOCATION))
        if location is None:
            stats.passthrough_internal_redirect_bad_location += 1
            return False
        scheme = location[0]
        from_http = head.scheme == b"http" or not stream.connection.tls
        to_http = scheme == b"http"
        if from_http != to_http and not settings.cross_scheme:
            stats.passthrough_internal_redirect_unsafe_scheme += 1
            return False
        extras = stream.extra()
        if extras.redirects >= settings.most:
            stats.passthrough_internal_redirect_too_many_redirects += 1
            return False
        was = (head.scheme, head.authority, head.path, list(head.items), dict(head.index))
        for name in settings.headers_to_copy:
            key = name.encode()
            head.remove(key)
            for value in response.get_all(key):
                head.add(key, value)
        head.scheme, head.authority, head.path = location
        route: Route | None = stream.context.pick_route(head, stream)
        if route is None:
            stats.passthrough_internal_redirect_no_route += 1
        elif not all(self._accepts(one, route.name, from_http, to_http) for one in settings.predicates):
            stats.passthrough_internal_redirect_predicate += 1
            route = None
        if route is None:
            head.scheme, head.authority, head.path = was[:3]
            head.items, head.index = was[3:]
            return False
        if response.status == 303 and head.method not in (b"GET", b"HEAD"):
            # RFC 9110 section 15.4.4
            head.method = b"GET"
            head.remove(b"content-length")
            self._body = []
            self._body_bytes = 0
            self._trailers = None
        extras.redirects += 1
        head.set(_ORIGINAL_URL, (b"http://" if from_http else b"https://") + was[1] + was[2])
        stream.route = route
        return True

    def _accepts(self, predicate: RedirectPredicate, target: str, from_http: bool, to_http: bool) -> bool:
        if isinstance(predicate, AllowListedRoutes):
            return target in predicate.names
        if isinstance(predicate, PreviousRoutes):
            targets = self._stream.extra().targets.setdefault(self._route.name, set())
            if target in targets:
                return False
            targets.add(target)
            return True
        if isinstance(predicate, GateInState):
            return is_open(self._stream.filter_state or {}, predicate.key, predicate.absent)
        return to_http or not from_http
