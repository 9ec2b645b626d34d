"""What is known of one request: what filters, statistics and access logs read."""

from __future__ import annotations

from typing import Any

from twistproxy.api.codec import RequestEncoder, ResponseEncoder
from twistproxy.api.filter_state import FilterState, Shared, shared_of
from twistproxy.api.http_filter import UpstreamSide
from twistproxy.http.message import VERSION_TEXT, RequestHead, ResponseHead
from twistproxy.model.address import TcpAddress
from twistproxy.observe.log_syntax import text_of
from twistproxy.observe.route_stats import RequestCounts
from twistproxy.primitives.byte_meter import ByteMeter
from twistproxy.route.action import Route
from twistproxy.stream.context import Connection, Context
from twistproxy.stream.extras import Extras
from twistproxy.stream.filter_side import FilterSide
from twistproxy.stream.remote import Client
from twistproxy.upstream.host import Host

_FOREVER = float("inf")


class StreamRecord(FilterSide):
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
    filter_state          objects that filters have left, by key; None while there are none.  It may be the connection's,
                          which is not changed
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
        "filter_state",
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

    deadline: float

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
        self.filter_state: FilterState | None = connection.filter_state
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

    def shared_state(self) -> Shared | None:
        """What connections to upstreams may know of the filter state."""
        state = self.filter_state
        return None if state is None else shared_of(state)

    def client_host(self) -> str:
        """The client's address without a port, as far as it is known; "" on a Unix socket."""
        client = self.client
        return (client.host() if client is not None else "") or self.connection.remote_host

    @property
    def remote_text(self) -> str:
        """The client's address and port; the port is 0 where proxies before us tell the address."""
        client = self.client
        host = client.host() if client is not None else ""
        return str(TcpAddress(host, 0)) if host else self.connection.remote_text

    # ---- for logs, which also have lines for what is no request

    def log_type(self) -> str:
        """Why the line is written: envoy.data.accesslog.v3.AccessLogType."""
        if self.end:
            return "DownstreamEnd"
        early = self.context.early_logs
        return "NotSet" if early is None else early.writing

    def protocol(self) -> str | None:
        return VERSION_TEXT[self.head.version]

    def stream_id(self) -> str | None:
        return text_of(self.head.index.get(b"x-request-id", b"")) or None

    def request_sent_at(self) -> float:
        """When the last byte of the request went to the upstream: when it came, or later when a connection was there
        for it; 0 before."""
        connection = self.upstream_connection
        if connection is None or not self.request_ended_at:
            return 0.0
        sent: float = max(self.request_ended_at, connection.attached_at)
        return min(sent, self.end) if self.end else sent

    def response_sent_at(self) -> float:
        """When the last byte of the response went to the downstream, 0 before."""
        return self.end if self.response is not None else 0.0

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
