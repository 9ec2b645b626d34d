"""Lines in logs for each attempt at an upstream (`upstream_log` of the router; Envoy: Router::UpstreamRequest).

What a line tells is seen from the upstream: what was received is the response's content, and the response is as it came,
before anything was changed in it.
"""

from __future__ import annotations

from typing import Any, cast

from twistproxy.api.access_log import AccessLog
from twistproxy.api.codec import RequestEncoder, ResetReason
from twistproxy.filters.attempt import Attempt, AttemptOwner
from twistproxy.filters.upgrade_request import UpgradeRequest
from twistproxy.filters.upstream_request import RESET_FLAGS
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead, ResponseWithTrailers
from twistproxy.model.access_log import UpstreamLogOptions
from twistproxy.stream.record import StreamRecord
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host
from twistproxy.upstream.pool.http import HttpPool


class UpstreamLogs:
    """What the router of one connection manager writes."""

    __slots__ = ("logs", "options")

    def __init__(self, logs: tuple[AccessLog, ...], options: UpstreamLogOptions) -> None:
        self.logs = logs
        self.options = options


class AttemptRecord(StreamRecord):
    """One attempt, in the shape of a stream; also `primitives.deadlines.HasDeadline`, for lines while it lasts.

    sent_at  when the last byte of the request was there to be sent, 0 before
    """

    __slots__ = ("_kind", "_logs", "sent_at")

    def __init__(self, stream: Stream, head: RequestHead, logs: UpstreamLogs) -> None:
        super().__init__(stream.context, stream.connection, cast(Any, None))
        self._logs = logs
        self._kind = "NotSet"
        self.sent_at = 0.0
        self.head = head
        self.client = stream.client
        self.health_check = stream.health_check
        self.route = stream.route
        self.cluster = stream.cluster

    def log_type(self) -> str:
        return self._kind

    def protocol(self) -> str | None:
        return None if self.upstream_connection is None else "HTTP/1.1"

    def stream_id(self) -> str | None:
        return None

    def request_sent_at(self) -> float:
        connection = self.upstream_connection
        if connection is None or not self.sent_at:
            return 0.0
        sent: float = max(self.sent_at, connection.attached_at)
        return sent

    def response_sent_at(self) -> float:
        """That is not the attempt's."""
        return 0.0

    # ---- what happens to it

    def ready(self, encoder: RequestEncoder, host: Host) -> None:
        """It has a connection."""
        self.host = host
        self.upstream_connection = encoder
        if self.context.metered:
            self.upstream_meter = encoder.meter
        options = self._logs.options
        if options.on_pool_ready:
            self._write("UpstreamPoolReady")
        if options.interval:
            self.deadline = self.context.monotonic() + options.interval
            self.context.deadlines.add(self)

    def request(self, data: bytes, end_stream: bool) -> None:
        self.bytes_sent += len(data)
        if end_stream:
            self.sent_at = self.context.monotonic()

    def answered(self, head: ResponseHead) -> None:
        self.response_at = self.context.monotonic()
        self.response = ResponseHead(head.status, list(head.items), dict(head.index))

    def trailers(self, trailers: HeaderMap) -> None:
        if self.response is not None:
            self.response = ResponseWithTrailers(self.response, HeaderMap(list(trailers.items)))

    def broken(self, reason: ResetReason, detail: str, host: Host) -> None:
        """`host`: where it is, or was to be."""
        if reason != ResetReason.OVERFLOW:
            self.host = host
        self.flags |= RESET_FLAGS[reason]
        self.failure = detail

    def over(self) -> None:
        """Nothing more happens to it.  The first time counts."""
        if not self.end:
            self.end = self.context.monotonic()
            self.context.deadlines.discard(self)
            self._write("UpstreamEnd")

    def on_deadline(self, now: float) -> None:
        """Called by `Deadlines`."""
        self.deadline = now + self._logs.options.interval
        self._write("UpstreamPeriodic")

    def _write(self, kind: str) -> None:
        self._kind = kind
        for log in self._logs.logs:
            log(self)


class LoggedAttempt(Attempt):
    """An attempt that tells what happens to it."""

    __slots__ = ("_record",)

    def __init__(
        self,
        owner: AttemptOwner,
        stream: Stream,
        cluster: Cluster,
        pool: HttpPool,
        head: RequestHead,
        end_stream: bool,
        envoy_headers: bool,
        logs: UpstreamLogs,
    ) -> None:
        super().__init__(owner, stream, cluster, pool, head, end_stream, envoy_headers)
        self._record = AttemptRecord(stream, head, logs)
        if end_stream:
            self._record.sent_at = self._record.start

    def pool_ready(self, encoder: RequestEncoder, host: Host) -> None:
        self._stream.attached(encoder)  # which measures it
        self._record.ready(encoder, host)
        super().pool_ready(encoder, host)

    def send_data(self, data: bytes, end_stream: bool) -> None:
        self._record.request(data, end_stream)
        super().send_data(data, end_stream)

    def send_trailers(self, trailers: HeaderMap) -> None:
        self._record.request(b"", True)
        super().send_trailers(trailers)

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        self._record.answered(head)
        super().decode_headers(head, end_stream)

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        self._record.bytes_received += len(data)
        super().decode_data(data, end_stream)

    def decode_trailers(self, trailers: HeaderMap) -> None:
        self._record.trailers(trailers)
        super().decode_trailers(trailers)

    def slow(self, status: int, flag: int = 0) -> None:
        self._record.flags |= flag
        super().slow(status)

    def give_up(self, end_stream: bool = False) -> None:
        super().give_up(end_stream)
        self._record.over()

    def _finish(self) -> None:
        super()._finish()
        self._record.over()

    def _reset(self, reason: ResetReason, detail: str) -> None:
        self._record.broken(reason, detail, self._pool.host)
        super()._reset(reason, detail)
        self._record.over()


class LoggedUpgrade(UpgradeRequest):
    """The same for a request that becomes a tunnel.  Its content is that of the stream."""

    __slots__ = ("_record",)

    def __init__(
        self,
        stream: Stream,
        cluster: Cluster,
        pool: HttpPool,
        head: RequestHead,
        end_stream: bool,
        timeout: float,
        envoy_headers: bool,
        logs: UpstreamLogs,
    ) -> None:
        super().__init__(stream, cluster, pool, head, end_stream, timeout, envoy_headers)
        self._record = AttemptRecord(stream, head, logs)

    def pool_ready(self, encoder: RequestEncoder, host: Host) -> None:
        self._stream.attached(encoder)
        self._record.ready(encoder, host)
        super().pool_ready(encoder, host)

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        self._record.answered(head)
        super().decode_headers(head, end_stream)

    def cancel(self) -> None:
        super().cancel()
        self._over()

    def _finish(self) -> None:
        super()._finish()
        self._over()

    def _reset(self, reason: ResetReason, detail: str) -> None:
        self._record.broken(reason, detail, self._pool.host)
        super()._reset(reason, detail)
        self._over()

    def _over(self) -> None:
        record = self._record
        record.bytes_received = self._stream.bytes_sent
        record.bytes_sent = self._stream.bytes_received
        record.over()
