"""One request with its response.

A `Stream` receives the request from the codec of the downstream (`api.codec.RequestDecoder`), lets the connection
manager's rules and the HTTP filters at it, and carries the response back.  It ends exactly once, in `_end`: complete,
reset by either side, or timed out.  It is also the record of itself that statistics and access logs read.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, cast

from twistproxy.api.codec import RequestEncoder, ResetReason, ResponseEncoder, ServerCodec, TunnelEnd
from twistproxy.api.http_filter import FilterChain, UpstreamSide
from twistproxy.http.grpc import is_grpc
from twistproxy.http.headers import Header, HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead, ResponseWithTrailers
from twistproxy.model.address import TcpAddress
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.observe import flags
from twistproxy.observe.early_logs import EarlyLogs
from twistproxy.observe.log_reason import ReasonSource
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.observe.route_stats import RequestCounts
from twistproxy.primitives.byte_meter import ByteMeter
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.route.action import Route
from twistproxy.stream.chain import FilterWalk
from twistproxy.stream.extras import Extras
from twistproxy.stream.filter_side import FilterSide
from twistproxy.stream.local_replies import LocalReplies, to_grpc
from twistproxy.stream.remote import Client
from twistproxy.stream.request_headers import RequestHeaders
from twistproxy.stream.response_headers import ResponseHeaders
from twistproxy.upstream.host import Host

_FOREVER = float("inf")


class Context:
    """What all streams of one connection manager share.

    A base class and no Protocol, as is `Connection`: compiled, its attributes are read without being looked up.
    """

    settings: HttpManagerSettings
    stats: HttpManagerStats
    monotonic: Callable[[], float]
    deadlines: Deadlines
    random: Random
    runtime: RuntimeValues
    early_logs: EarlyLogs | None
    metered: bool
    reasons: ReasonSource | None
    local_replies: LocalReplies | None
    request_headers: RequestHeaders
    response_headers: ResponseHeaders
    chain: FilterChain
    pick_route: Callable[[RequestHead, Any], Any]
    buffer_limit: int
    stream_idle_timeout: float
    max_stream_duration: float
    first_timeout: float
    request_timeout: float
    admit_upgrade: Callable[[Any, RequestHead], bool]

    def check(self, stream: Stream, head: RequestHead, /) -> bool:
        """Whether the request can be routed; if not, it has been answered."""
        raise NotImplementedError

    def log(self, stream: Stream, complete: bool) -> None:
        """It is over.  `complete`: what is left of the response is about to be encoded."""
        raise NotImplementedError

    def log_redirected(self, stream: Stream) -> None:
        """The stream is about to begin anew."""
        raise NotImplementedError


class Connection:
    """The downstream connection of a stream."""

    __slots__ = ("codec", "number", "remote_host", "tls")

    number: int
    codec: ServerCodec
    remote_host: str
    tls: bool

    @property
    def remote_text(self) -> str:
        raise NotImplementedError

    @property
    def local_text(self) -> str:
        raise NotImplementedError

    @property
    def local_port(self) -> int:
        raise NotImplementedError

    def stream_ended(self, stream: Stream, now: float) -> None:
        raise NotImplementedError

    def upgraded(self) -> None:
        """The request asks for a tunnel, and may."""
        raise NotImplementedError

    def answered_early(self) -> None:
        """The response about to be encoded begins before the whole request was read: let it be the last one."""
        raise NotImplementedError


class Stream(FilterSide):
    """Attributes that others read:

    head, response        the heads, None before they are known
    route                 the route taken (`route.action.Route`), or None
    client                what the head tells of its sender beyond the connection, None for nothing
    start, end            monotonic seconds; `end` 0 until it is over
    response_at           when the upstream's head came, 0 before
    request_ended_at      when the last byte of the request came, 0 before
    bytes_received/_sent  content only
    flags, details        response flags (`observe.flags`) and Envoy's %RESPONSE_CODE_DETAILS%
    host, cluster         the upstream host and the cluster's name, once chosen
    upstream_connection   the codec of the upstream connection, once there is one
    upstream_meter        the bytes that passed over it for this request, if they are measured
    extras                what few streams have, None for the others
    failure               why the upstream's transport failed, in words
    counts                where the request is counted beside its cluster, None for nowhere
    attempts              how often an upstream was chosen for the request
    metadata              dynamic metadata, namespace → plain structure; None while nobody has left any
    health_check          the request is a health check of ours, which some logs leave out
    """

    __slots__ = (
        "_encoder",
        "_random",
        "attempts",
        "bytes_received",
        "bytes_sent",
        "client",
        "cluster",
        "connection",
        "context",
        "counts",
        "deadline",
        "details",
        "duration_at",
        "end",
        "extras",
        "failure",
        "flags",
        "head",
        "health_check",
        "host",
        "idle_timeout",
        "last_activity",
        "metadata",
        "request_ended_at",
        "response",
        "response_at",
        "route",
        "start",
        "timeout_at",
        "upstream",
        "upstream_connection",
        "upstream_meter",
    )

    def __init__(self, context: Context, connection: Connection, encoder: ResponseEncoder) -> None:
        self.context = context
        self.connection = connection
        self._encoder = encoder
        self._walk = None
        self.upstream: UpstreamSide | None = None
        self.head: RequestHead = None  # type: ignore[assignment]  # `decode_headers` is the first call
        self.response: ResponseHead | None = None
        self.route: Route | None = None
        self.request_ended_at = self.response_at = self.end = 0.0
        self.bytes_received = self.bytes_sent = self.flags = self.attempts = 0
        self.metadata: dict[str, Any] | None = None
        self.health_check = False
        self.client: Client | None = None
        self.details = self.failure = ""
        self._random = -1
        self.counts: RequestCounts | None = None
        self.host: Host | None = None
        self.upstream_connection: Any = None
        self.upstream_meter: ByteMeter | None = None
        self.cluster = ""
        self.extras: Extras | None = None
        self.timeout_at = _FOREVER
        self.start = self.last_activity = now = context.monotonic()
        self.idle_timeout = context.stream_idle_timeout
        self.duration_at = now + context.max_stream_duration

    # ---- the request, from the codec

    def decode_headers(self, head: RequestHead, end_stream: bool) -> None:
        context = self.context
        self.head = head
        if end_stream:
            self.request_ended_at = self.start
        timeout = context.first_timeout
        if context.request_timeout and not end_stream:
            timeout = min(timeout, context.request_timeout)
        self.deadline = self.start + timeout
        if not context.check(self, head):
            return
        client = context.request_headers.apply(head, self.connection)
        if client is None:
            self.route = context.pick_route(head, self)
        elif not self._know(client, head):
            return
        self.forward(end_stream)

    def forward(self, end_stream: bool) -> None:
        """The route is known: to the filters and the router."""
        context = self.context
        head = self.head
        if context.early_logs is not None:
            context.early_logs.started(self)
        if (b"upgrade" in head.index or not head.path) and not context.admit_upgrade(self, head):
            return
        chain = context.chain
        if chain.plain:
            chain.router.decode_headers(self, head, end_stream)
        else:
            self._walk = FilterWalk(self, chain.for_route(self.route), context.buffer_limit)
            self._walk.decode_headers(head, end_stream)
        if not self.end:
            context.deadlines.add(self)

    def _know(self, client: Client, head: RequestHead) -> bool:
        """Pick the route of a request that tells something of its sender.  False: it is refused for it."""
        context = self.context
        self.client = client
        if client.reject:
            context.stats.downstream_rq_rejected_via_ip_detection += 1
            self.local_reply(client.reject, b"", 0, "rejecting_because_detection_failed")
            return False
        if client.trace:
            context.stats.tracing[client.trace] += 1
        if not client.no_route:
            self.route = context.pick_route(head, self)
        return True

    @property
    def remote_text(self) -> str:
        """The client's address and port; the port is 0 where proxies before us tell the address."""
        client = self.client
        host = client.host() if client is not None else ""
        return str(TcpAddress(host, 0)) if host else self.connection.remote_text

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        if self.end:
            return
        self.bytes_received += len(data)
        self.last_activity = now = self.context.monotonic()
        if end_stream:
            self.request_ended_at = now
        if self._walk is not None:
            self._walk.decode_data(data, end_stream)
        elif self.upstream is not None:
            self.upstream.send_data(data, end_stream)

    def flush(self) -> None:
        if self.upstream is not None:
            self.upstream.flush_request()

    def decode_trailers(self, trailers: HeaderMap) -> None:
        if self.end:
            return
        self.last_activity = self.request_ended_at = self.context.monotonic()
        if self._walk is not None:
            self._walk.decode_trailers(trailers)
        elif self.upstream is not None:
            self.upstream.send_trailers(trailers)

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        """The downstream is gone, or what it sends makes no sense."""
        if self.end:
            return
        if reason == ResetReason.PROTOCOL_ERROR:
            self.flags |= flags.DPE
            self.details = "http1.codec_error"
        else:
            self.flags |= flags.DC
            self.details = "downstream_remote_disconnect"
            stats = self.context.stats
            stats.downstream_cx_destroy_active_rq += 1
            stats.downstream_cx_destroy_remote_active_rq += 1
        if self.request_ended_at:
            self.context.stats.downstream_rq_rx_reset += 1
        self._cancel_upstream()
        self._end(False)

    def above_write_buffer_high_watermark(self) -> None:
        if self.upstream is not None:
            self.upstream.pause_reading()

    def below_write_buffer_low_watermark(self) -> None:
        if self.upstream is not None:
            self.upstream.resume_reading()

    # ---- for filters and the router

    def random_value(self) -> int:
        """A number of 62 bits that is this request's own: what is done to a share of requests is done to it or not,
        whenever one asks."""
        if self._random < 0:
            self._random = self.context.random.getrandbits(62)
        return self._random

    def extra(self) -> Extras:
        extras = self.extras
        if extras is None:
            self.extras = extras = Extras()
        return extras

    def leave_filters(self) -> None:
        """The filters have seen the last of the request as it was."""
        walk, self._walk = self._walk, None
        if walk is not None:
            walk.ended()

    def client_host(self) -> str:
        """The client's address without a port, as far as it is known; "" on a Unix socket."""
        client = self.client
        return (client.host() if client is not None else "") or self.connection.remote_host

    def attached(self, encoder: RequestEncoder) -> None:
        """This connection to the upstream carries the request, or the answer that is taken."""
        self.upstream_connection = encoder
        if self.context.metered:
            meter = encoder.meter
            if meter is None:
                meter = encoder.measure()
                if self.upstream_meter is not None:
                    meter.follow(self.upstream_meter)
            self.upstream_meter = meter

    def pause_request(self) -> None:
        """Read no more of the request's content for now.  Counted."""
        self.context.stats.downstream_flow_control_paused_reading_total += 1
        self._encoder.pause_reading()

    def resume_request(self) -> None:
        if not self.end:
            self.context.stats.downstream_flow_control_resumed_reading_total += 1
            self._encoder.resume_reading()

    def tunnel_end(self) -> TunnelEnd | None:
        """The codec of the downstream, to be given a passage; None if filters must see what passes."""
        return cast("TunnelEnd", self._encoder) if self._walk is None else None

    def clear_route_cache(self) -> None:
        """Pick the route anew: what it depends on has changed."""
        self.route = route = self.context.pick_route(self.head, self)
        if self._walk is not None:
            self._walk.use(self.context.chain.for_route(route))

    def set_timeout(self, when: float) -> None:
        """The route's time limit, in monotonic seconds."""
        self.timeout_at = when
        if when < self.deadline:
            self.deadline = when
            self.context.deadlines.add(self)

    def set_limits(self, idle_timeout: float | None, duration: float | None) -> None:
        """A route's limits in place of the manager's: of silence, and of the whole stream.  Seconds, 0 for none; None:
        as it is."""
        if idle_timeout is not None:
            self.idle_timeout = idle_timeout or _FOREVER
        if duration is not None:
            self.duration_at = self.start + (duration or _FOREVER)
        self.deadline = min(self.deadline, self.last_activity + self.idle_timeout, self.duration_at)
        self.context.deadlines.add(self)

    def local_reply(
        self,
        status: int,
        body: bytes,
        flag: int,
        details: str,
        headers: tuple[Header, ...] = (),
        content_type: bytes = b"",
    ) -> None:
        """Answer by ourselves.  After the response has begun, all that is left is to reset.

        headers       what it has before the route's header rules act
        content_type  of the body; b"": text/plain, or what the rules say
        """
        if self.end:
            return
        self.flags |= flag
        self.details = details
        self._cancel_upstream()
        if self.response is not None:
            self._reset()
            return
        if self._walk is not None:
            self._walk.replied()
        elif not self.context.chain.plain:
            # Refused before the filters saw it; they see the answer.
            chain = self.context.chain.for_route(self.route)
            self._walk = FilterWalk(self, chain, self.context.buffer_limit)
        head = ResponseHead(0, list(headers))  # header rules do not know the status yet
        if self.route is not None and self.route.response_rules is not None:
            self.route.response_rules.apply_to_response(head, self)
        head.status = status
        if content_type:
            head.set(b"content-type", content_type)
        else:
            content_type = b"text/plain"
        replies = self.context.local_replies
        if replies is not None:
            body, content_type = replies.rewrite(self, head, body)
        request = self.head
        to_head = request.method == b"HEAD"
        if is_grpc(request):
            to_grpc(head, b"" if to_head else body)
            body = b""
        elif body:
            head.set(b"content-length", b"%d" % len(body))
            if b"content-type" not in head.index:
                head.add(b"content-type", content_type)
        else:
            head.remove(b"content-type")
        only_head = to_head or not body
        self.encode_headers(head, only_head)
        if not only_head:
            self.encode_data(body, True)

    def reset(self, flag: int, details: str) -> None:
        """Give the response up in the middle."""
        self.flags |= flag
        self.details = details
        self._cancel_upstream()
        self._reset()

    def _reset(self) -> None:
        stats = self.context.stats
        stats.downstream_rq_tx_reset += 1
        if self.request_ended_at:
            stats.downstream_rq_rx_reset += 1  # Envoy counts each reset here, whosever it is
        self._encoder.reset()
        self._end(False)

    # ---- the response, from the router or a local reply

    def encode_1xx(self, head: ResponseHead) -> None:
        self._encoder.encode_1xx(head)

    def encode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        if self._walk is not None:
            self._walk.encode_headers(head, end_stream)
        else:
            self.send_headers(head, end_stream)

    def encode_data(self, data: bytes, end_stream: bool) -> None:
        if self._walk is not None:
            self._walk.encode_data(data, end_stream)
        else:
            self.send_data(data, end_stream)

    def encode_trailers(self, trailers: HeaderMap) -> None:
        if self._walk is not None:
            self._walk.encode_trailers(trailers)
        else:
            self.send_trailers(trailers)

    def send_headers(self, head: ResponseHead, end_stream: bool) -> None:
        """Past all filters: to the downstream."""
        self.response = head
        self.context.response_headers.apply(head, self)
        if not self.request_ended_at:
            self.context.stats.downstream_rq_response_before_rq_complete += 1
            self.connection.answered_early()
        # The stream is over before its last piece is encoded: with that the codec may begin the next one.
        if end_stream:
            self._end()
        self._encoder.encode_headers(head, end_stream)

    def send_data(self, data: bytes, end_stream: bool) -> None:
        self.bytes_sent += len(data)
        if end_stream:
            self._end()
        else:
            self.last_activity = self.context.monotonic()
        self._encoder.encode_data(data, end_stream)

    def flush_response(self) -> None:
        """No content of the response follows in this turn."""
        if not self.end:
            self._encoder.flush()

    def send_trailers(self, trailers: HeaderMap) -> None:
        if self.response is not None:
            self.response = ResponseWithTrailers(self.response, trailers)
        self._end()
        self._encoder.encode_trailers(trailers)

    # ---- time, and the end

    def on_deadline(self, now: float) -> None:
        """Called by `Deadlines`."""
        context = self.context
        if now >= self.timeout_at:
            self.timeout_at = _FOREVER
            self.deadline = min(now + self.idle_timeout, self.duration_at)
            if self.upstream is not None:  # a filter may hold a response that is complete
                self.upstream.timed_out()
            return
        if (
            context.request_timeout
            and not self.request_ended_at
            and self.response is None
            and now >= self.start + context.request_timeout
        ):
            context.stats.downstream_rq_timeout += 1
            self.local_reply(408, b"request timeout", 0, "request_overall_timeout")
            return
        if now >= self.duration_at:
            context.stats.downstream_rq_max_duration_reached += 1
            status = 504 if self.request_ended_at else 408
            self.local_reply(status, b"downstream duration timeout", 0, "max_duration_timeout")
            return
        idle_at = self.last_activity + self.idle_timeout
        if now >= idle_at:
            context.stats.downstream_rq_idle_timeout += 1
            status = 504 if self.request_ended_at else 408  # whose silence it is
            self.local_reply(status, b"stream timeout", flags.SI, "stream_idle_timeout")
            return
        self.deadline = min(self.timeout_at, idle_at, self.duration_at)

    def _cancel_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.cancel()

    def _end(self, complete: bool = True) -> None:
        context = self.context
        self.end = now = context.monotonic()
        context.deadlines.discard(self)
        upstream, self.upstream = self.upstream, None
        if not self.request_ended_at:
            # The request will never be complete.
            context.stats.downstream_rq_rx_reset += 1
            if upstream is not None:
                upstream.cancel()
        if self._walk is not None:
            self._walk.ended()
        if self.extras is not None:
            self.extras.ended()
        context.log(self, complete)
        self.connection.stream_ended(self, now)
