"""The HTTP connection manager: the network filter that turns bytes into requests (Envoy: arch_overview/http/
http_connection_management)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, cast

from twistproxy.api.access_log import AccessLog
from twistproxy.api.clock import Clock
from twistproxy.api.codec import ResetReason, ResponseEncoder, ServerCodec
from twistproxy.api.http_filter import FilterChain
from twistproxy.api.transport import Transport
from twistproxy.codec.h1_extended import ExtendedServerConnection
from twistproxy.codec.h1_server import Http1ServerConnection
from twistproxy.filters.set_filter_state import StateRules
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.access_log import AT_THE_END
from twistproxy.model.address import Address, OriginalDestination, ProxiedAddress, TcpAddress
from twistproxy.model.http_manager import HttpManagerSettings, SanitiseSettings
from twistproxy.network.connection_life import ConnectionLife
from twistproxy.network.connection_record import ConnectionRecord
from twistproxy.observe import flags
from twistproxy.observe.early_logs import EarlyLogs
from twistproxy.observe.histogram import Histogram
from twistproxy.observe.log_reason import ReasonSource
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.observe.request_id import RequestIds
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.stream.context import Context
from twistproxy.stream.local_replies import LocalReplies
from twistproxy.stream.request_headers import RequestHeaders
from twistproxy.stream.response_headers import ResponseHeaders
from twistproxy.stream.sanitise import Sanitiser, refuse_path
from twistproxy.stream.stream import Stream
from twistproxy.stream.upgrades import Upgrades

_FOREVER = float("inf")
#: envoy.config.listener.v3.Listener.per_connection_buffer_limit_bytes
_DEFAULT_BUFFER_LIMIT = 1024 * 1024
_CONTINUE = ResponseHead(100, [])
NO_CHAINS: Mapping[str, FilterChain] = {}
#: Connections are numbered, for logs.
_numbers = itertools.count(1)


class HttpConnectionManager(Context):
    """What all connections of one filter chain share; the `Context` of their streams.

    `pick_route` may be replaced while connections live: each request takes the routes of its moment.
    """

    def __init__(
        self,
        settings: HttpManagerSettings,
        stats: HttpManagerStats,
        chain: FilterChain,
        pick_route: Callable[[RequestHead, Any], Any],
        access_logs: tuple[AccessLog, ...],
        clock: Clock,
        deadlines: Deadlines,
        ids: RequestIds,
        random: Random,
        local_address: str,
        runtime: RuntimeValues,
        buffer_limit: int | None = None,
        local_replies: LocalReplies | None = None,
        early_steps: Sequence[Callable[[Any, Any], None]] = (),
        upgrade_chains: Mapping[str, FilterChain] = NO_CHAINS,
    ) -> None:
        self.settings = settings
        #: the same, but for time limits that are shorter at the moment
        self.connection_settings = settings
        self.stats = stats
        self.chain = chain
        self.pick_route = pick_route
        self.monotonic = clock.monotonic
        self.deadlines = deadlines
        self.random = random
        self.runtime = runtime
        self.request_headers = RequestHeaders(settings, ids, local_address, runtime)
        self.response_headers = ResponseHeaders(settings, clock.wall)
        self.stream_idle_timeout = settings.stream_idle_timeout or _FOREVER
        self.max_stream_duration = settings.max_stream_duration or _FOREVER
        self.first_timeout = min(self.stream_idle_timeout, self.max_stream_duration)
        self.request_timeout = settings.request_timeout
        self.max_requests = settings.max_requests_per_connection
        self.first_connection_limit = min(
            settings.idle_timeout or _FOREVER, settings.max_connection_duration or _FOREVER
        )
        self._http1 = settings.http1
        self._extended = settings.http1.extended
        self._upgrades = Upgrades(settings.upgrades, stats, upgrade_chains)
        self.admit_upgrade: Callable[[Any, RequestHead], FilterChain | None] = self._upgrades.admit
        self.connections: set[HttpConnection] = set()
        self.draining = False
        #: called when a connection is gone
        self.closed: Callable[[], None] | None = None
        #: how long connections were open, in milliseconds: those of the listener
        self.lengths = Histogram()
        self.local_replies = local_replies
        #: whether logs or header rules ask for bytes on the wire
        self.metered = False
        #: what sets the filter state of connections
        self.connection_rules: StateRules | None = None
        #: for `%REASON%`
        self.reasons: ReasonSource | None = None
        self._access_logs = access_logs
        #: of the listener
        self.connection_logs: tuple[AccessLog, ...] = ()
        options = settings.log_options
        self.early_logs = EarlyLogs(access_logs, options, deadlines) if options != AT_THE_END else None
        self._buffer_limit = buffer_limit
        #: bytes that filters may hold of a request or a response
        self.buffer_limit = _DEFAULT_BUFFER_LIMIT if buffer_limit is None else buffer_limit
        sanitise = settings.sanitise
        needed = early_steps or sanitise != SanitiseSettings()
        self._sanitiser = Sanitiser(sanitise, early_steps) if needed else None

    def accept(self, transport: Transport, remote: Address, local: Address) -> Http1ServerConnection:
        """The handler of a new connection: its codec, so that nothing lies between transport and parser."""
        http1 = self._http1
        if self._extended:
            codec: Http1ServerConnection = ExtendedServerConnection(transport, http1)
        else:
            codec = Http1ServerConnection(transport, http1)
        codec.callbacks = connection = HttpConnection(self, codec, remote, local)
        self.connections.add(connection)
        if self.connection_rules is not None:
            connection.set_state(self.connection_rules)
        codec.metered = self.metered
        if self._buffer_limit is not None:
            transport.bufferSize = self._buffer_limit
        transport.registerProducer(codec, True)
        if self.draining:
            codec.drain()
        if connection.deadline != _FOREVER:
            self.deadlines.add(connection)
        stats = self.stats
        stats.downstream_cx_total += 1
        stats.downstream_cx_http1_total += 1
        return codec

    def use_routes(
        self, settings: HttpManagerSettings, pick_route: Callable[[RequestHead, Any], Any]
    ) -> None:
        """Connections live on, and their next requests take these routes; nothing else of the settings differs."""
        self.pick_route = pick_route
        self.settings = settings
        self.chain.routes_changed()
        self._upgrades.routes_changed()
        self.request_headers.use_routes(settings.routes)

    def drain(self) -> None:
        """Answers from now on ask their clients to close."""
        self.draining = True
        for connection in self.connections:
            connection.codec.drain()

    def undrain(self) -> None:
        """New connections are kept again; those told to close still will."""
        self.draining = False

    def close_idle(self) -> None:
        """Close connections that are between requests."""
        for connection in list(self.connections):
            if connection.codec.idle:
                connection.codec.close()

    def abort_all(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def check(self, stream: Stream, head: RequestHead) -> bool:
        """Answer what cannot be a request to anybody, and return False."""
        path = head.path
        if b"expect" in head.index and (head.get(b"expect") or b"").lower() == b"100-continue":
            if not self.settings.proxy_100_continue:
                head.remove(b"expect")
                stream.encode_1xx(_CONTINUE)
        if not head.authority:
            return self._refuse(stream, 400, 0, "missing_host_header")
        if path[:1] != b"/":
            if not path:
                return True  # CONNECT
            self.stats.downstream_rq_non_relative_path += 1
            stream.local_reply(404, b"", 0, "absolute_path_rejected")
            return False
        if b"#" in path:
            return refuse_path(stream)
        return self._sanitiser is None or self._sanitiser.apply(stream, head)

    def _refuse(self, stream: Stream, status: int, flag: int, details: str) -> bool:
        """Answer what is no request to anybody.  What follows on the connection is not read."""
        if not self.settings.stays_open_after_error:
            stream.connection.answered_early()
        stream.local_reply(status, b"", flag, details)
        return False

    def log(self, stream: Stream, complete: bool) -> None:
        """A stream is over, and all of its response but, if it is `complete`, the last piece is encoded."""
        stats = self.stats
        response = stream.response
        if response is not None:
            stats.statuses[response.status // 100 * 100] += 1
            stats.downstream_rq_completed += 1
            if self.draining:
                cast("HttpConnection", stream.connection).drained()
        stats.rq_time.record(int((stream.end - stream.start) * 1000))
        if self.early_logs is not None:
            self.early_logs.ended(stream)
        if self.metered and complete:
            stream.connection.codec.when_ended = lambda: self._write_logs(stream)
        else:
            self._write_logs(stream)

    def _write_logs(self, stream: Stream) -> None:
        for access_log in self._access_logs:
            access_log(stream)

    def log_redirected(self, stream: Stream) -> None:
        """A redirect is followed: to Envoy what goes on is another request."""
        stats = self.stats
        stats.downstream_rq_total += 1
        stats.downstream_rq_http1_total += 1
        if self.early_logs is not None:
            self.early_logs.ended(stream)
        self._write_logs(stream)

    def collect_active(self) -> tuple[int, int, int, int, int, int]:
        """(connections, requests, bytes received, bytes sent, upgraded connections, those that wait for a response to
        end with) of what is open now."""
        requests = received = sent = upgraded = draining = 0
        for connection in self.connections:
            requests += connection.stream is not None
            received += connection.codec.bytes_received
            sent += connection.codec.bytes_sent
            upgraded += connection.is_upgraded and connection.stream is not None
            draining += connection.is_soft_draining
        return len(self.connections), requests, received, sent, upgraded, draining


class HttpConnection(ConnectionLife):
    """One downstream connection: `api.codec.ServerCallbacks` of its codec, `Connection` of its streams."""

    __slots__ = ("_flags", "_local", "_manager", "_remote", "is_upgraded")

    def __init__(
        self, manager: HttpConnectionManager, codec: ServerCodec, remote: Address, local: Address
    ) -> None:
        super().__init__(
            manager.connection_settings,
            manager.stats,
            manager.deadlines,
            manager.monotonic,
            codec,
            manager.first_connection_limit,
        )
        self._manager = manager
        self._remote = remote
        self._local = local
        self.number = next(_numbers)
        self.remote_host = remote.host if isinstance(remote, TcpAddress) else ""
        self.tls = False
        self.filter_state = None
        self.is_upgraded = False
        self._flags = 0

    @property
    def remote_text(self) -> str:
        return str(self._remote) or str(self._local)  # a client's Unix socket mostly has no name

    @property
    def direct_text(self) -> str:
        """The other end of the connection itself, where a PROXY header has told of another one."""
        remote = self._remote
        return str(remote.direct) if isinstance(remote, ProxiedAddress) else self.remote_text

    @property
    def local_text(self) -> str:
        return str(self._local)

    @property
    def original_destination(self) -> TcpAddress | None:
        return self._local if isinstance(self._local, OriginalDestination) else None

    @property
    def local_port(self) -> int:
        """The port that it came to, 0 for a Unix socket."""
        return self._local.port if isinstance(self._local, TcpAddress) else 0

    # ---- from the codec

    def new_stream(self, encoder: ResponseEncoder) -> Stream:
        manager = self._manager
        stats = manager.stats
        stats.downstream_rq_total += 1
        stats.downstream_rq_http1_total += 1
        self.head_due = 0.0
        self.requests += 1
        most = manager.max_requests
        if most and self.requests >= most:
            stats.downstream_cx_max_requests_reached += 1
            self.codec.drain()
        self.stream = stream = Stream(manager, self, encoder)
        return stream

    def protocol_error(self, encoder: ResponseEncoder, status: int, body: bytes, details: str) -> None:
        self._manager.stats.downstream_cx_protocol_error += 1
        self._flags |= flags.DPE
        self.refuse(encoder, status, body, flags.DPE, details)

    def refuse(self, encoder: ResponseEncoder, status: int, body: bytes, flag: int, details: str) -> None:
        stream = self.stream or self._stream_without_head(encoder)
        if stream.response is None:
            self.codec.close_after_response()
            stream.local_reply(status, body, flag, details)
        self.close_later()

    def overloaded(self) -> None:
        """Nothing more of the client's is read."""
        self._manager.stats.downstream_rq_overload_close += 1
        stream = self.stream
        if stream is not None and stream.response is not None:
            stream.reset(flags.OM, "overload")
        else:
            encoder = self.codec.give_up()
            self.refuse(encoder, 500, b"Internal Server Error", flags.DPE, "overload")

    def head_lost(self, encoder: ResponseEncoder, reason: str) -> None:
        self._stream_without_head(encoder).on_reset(ResetReason.CONNECTION_TERMINATION, reason)

    def _stream_without_head(self, encoder: ResponseEncoder) -> Stream:
        """A request that is none; Envoy counts and logs it too."""
        manager = self._manager
        stats = manager.stats
        stats.downstream_rq_total += 1
        stats.downstream_rq_http1_total += 1
        self.stream = stream = self._no_request(encoder)
        return stream

    def _no_request(self, encoder: ResponseEncoder) -> Stream:
        stream = Stream(self._manager, self, encoder)
        stream.head = RequestHead(b"", b"", b"", [], {}, scheme=b"")
        return stream

    def set_state(self, rules: StateRules) -> None:
        """Before its first request."""
        nothing = self._no_request(cast("ResponseEncoder", self.codec))
        rules.apply(nothing)
        self.filter_state = nothing.filter_state

    def abort(self) -> None:
        """End it now, with whatever is under way."""
        stream = self.stream
        self.codec.give_up()
        if stream is not None:
            stream.on_reset(ResetReason.LOCAL_RESET, "")
        self.codec.transport.abortConnection()

    def response_overtook(self) -> None:
        self.close_later()

    def connection_closed(self, reason: str) -> None:
        manager = self._manager
        manager.connections.discard(self)
        manager.deadlines.discard(self)
        stats = manager.stats
        stats.downstream_cx_destroy += 1
        stats.downstream_cx_rx_bytes_total += self.codec.bytes_received
        stats.downstream_cx_tx_bytes_total += self.codec.bytes_sent
        if self.codec.closed_by_us:
            stats.downstream_cx_destroy_local += 1
        else:
            stats.downstream_cx_destroy_remote += 1
        length = int((manager.monotonic() - self.opened_at) * 1000)
        stats.cx_length_ms.record(length)
        manager.lengths.record(length)
        if manager.closed is not None:
            manager.closed()
        if manager.connection_logs:
            record = ConnectionRecord(manager, self, self._flags)
            for log in manager.connection_logs:
                log(record)

    # ---- from the stream

    def upgraded(self) -> None:
        self.is_upgraded = True
