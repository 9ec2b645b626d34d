"""One attempt of a stream at one upstream host."""

from __future__ import annotations

from twistproxy.api.codec import RESET_TEXT, RequestEncoder, ResetReason
from twistproxy.api.upstream import PoolFailure
from twistproxy.http.headers import Header, HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.observe import flags
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host
from twistproxy.upstream.pool.http import HttpPool

_SERVICE_TIME = b"x-envoy-upstream-service-time"
_IMMEDIATE_FAILURE = b"x-envoy-immediate-health-check-fail"

#: Content that is held while there is no connection (Envoy's default for per_connection_buffer_limit_bytes).
_HELD_LIMIT = 1024 * 1024

RESET_FLAGS = {
    ResetReason.CONNECTION_FAILURE: flags.UF,
    ResetReason.CONNECTION_TIMEOUT: flags.UF,
    ResetReason.CONNECTION_TERMINATION: flags.UC,
    ResetReason.OVERFLOW: flags.UO,
    ResetReason.PROTOCOL_ERROR: flags.UPE,
    ResetReason.REMOTE_RESET: flags.UR,
    ResetReason.REMOTE_REFUSED: flags.UR,
    ResetReason.LOCAL_RESET: flags.LR,
    ResetReason.LOCAL_FAILURE: flags.UF,
}
#: Methods that a server may get twice without harm, for requests without content.
_REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
#: How often a request is repeated.  Once will do, unless the connection that is free first has been idle, too.
_MOST_REPEATS = 3
#: The runtime value that turns repeating off.
_REPEAT = "twistproxy.retry_idle_race"
_POOL_RESETS = {
    PoolFailure.OVERFLOW: ResetReason.OVERFLOW,
    PoolFailure.CONNECT_FAILURE: ResetReason.CONNECTION_FAILURE,
    PoolFailure.CONNECT_TIMEOUT: ResetReason.CONNECTION_TIMEOUT,
    PoolFailure.LOCAL_FAILURE: ResetReason.LOCAL_FAILURE,
}


def answer_reset(
    stream: Stream,
    reason: ResetReason,
    detail: str,
    started: bool,
    again: bool = False,
    headers: tuple[Header, ...] = (),
) -> None:
    """Tell the client that its response will not come, or not whole.

    started  the response's head went out already
    again    it was not the first attempt
    headers  of the local reply
    """
    stream.failure = detail
    text = RESET_TEXT[reason]
    words = text.replace(" ", "_") + ("|" + detail.replace(" ", "_") if detail else "")
    flag = RESET_FLAGS[reason]
    if started:
        stream.reset(flag, "upstream_reset_after_response_started{" + words + "}")
        return
    status = 502 if reason == ResetReason.PROTOCOL_ERROR else 503
    latest = b"retried and the latest " if again else b""
    body = (
        b"upstream connect error or disconnect/reset before headers. "
        + latest
        + b"reset reason: "
        + text.encode()
    )
    if reason == ResetReason.OVERFLOW:
        headers = ((b"x-envoy-overloaded", b"true"), *headers)
    stream.local_reply(status, body, flag, "upstream_reset_before_response_started{" + words + "}", headers)


class UpstreamRequest:
    """`api.upstream.PoolCallbacks`, `api.codec.ResponseDecoder` and `api.http_filter.UpstreamSide` in one.

    Content that comes before there is a connection is held, and reading it is paused at the cluster's buffer limit.
    """

    __slots__ = (
        "_cluster",
        "_done",
        "_encoder",
        "_end_stream",
        "_envoy_headers",
        "_head",
        "_heard",
        "_held",
        "_held_bytes",
        "_late",
        "_paused",
        "_pool",
        "_repeats",
        "_started",
        "_stream",
        "_timeout",
        "_trailers",
    )

    def __init__(
        self,
        stream: Stream,
        cluster: Cluster,
        pool: HttpPool,
        head: RequestHead,
        end_stream: bool,
        timeout: float,
        envoy_headers: bool,
    ) -> None:
        self._stream = stream
        self._cluster = cluster
        self._pool = pool
        self._head = head
        self._end_stream = end_stream
        self._timeout = timeout
        self._envoy_headers = envoy_headers
        self._encoder: RequestEncoder | None = None
        self._held: list[bytes] | None = None
        self._held_bytes = 0
        self._trailers: HeaderMap | None = None
        self._late = False  # the connection came after the turn in which the request did
        self._paused = False
        self._started = False
        self._heard = False  # something came that was no response yet
        self._repeats = 0
        self._done = False

    def start(self) -> None:
        """Ask the pool for a stream."""
        self._stream.host = self._pool.host
        self._pool.new_stream(self)
        self._late = True

    # ---- from the pool

    def pool_ready(self, encoder: RequestEncoder, host: Host) -> None:
        self._encoder = encoder
        if host.outlier is not None:
            host.outlier.connected()
        stream = self._stream
        stream.host = host
        stream.attached(encoder)
        if stream.counts is not None:
            stream.counts.sent()
        held = self._held
        end_stream = self._end_stream
        if held is None:
            encoder.encode_headers(self._head, end_stream)
            if self._late and not end_stream:
                encoder.flush()
            return
        self._held = None
        trailers = self._trailers
        encoder.encode_headers(self._head, False)
        last = len(held) - 1
        for at, data in enumerate(held):
            encoder.encode_data(data, end_stream and at == last and trailers is None)
        if trailers is not None:
            encoder.encode_trailers(trailers)
        if self._paused and not self._done:
            self._paused = False
            stream.resume_request()

    def pool_failed(self, failure: PoolFailure, detail: str) -> None:
        self._done = True
        stream = self._stream
        if failure == PoolFailure.OVERFLOW:
            stream.host = None
        else:
            stream.host = host = self._pool.host
            if host.outlier is not None:
                host.outlier.disconnected()
        self._reset(_POOL_RESETS[failure], detail)

    # ---- from the stream: `UpstreamSide`

    def send_data(self, data: bytes, end_stream: bool) -> None:
        stream = self._stream
        if end_stream:
            self._request_ended()
        encoder = self._encoder
        if encoder is not None:
            encoder.encode_data(data, end_stream)
            return
        if self._held is None:
            self._held = []
        self._held.append(data)
        self._held_bytes += len(data)
        self._end_stream = end_stream
        if self._held_bytes > self.held_limit() and not self._paused and not end_stream:
            self._paused = True
            stream.pause_request()

    def held_limit(self) -> int:
        """How many bytes of content are held before reading it is paused."""
        return self._cluster.settings.buffer_limit or _HELD_LIMIT

    def flush_request(self) -> None:
        if self._encoder is not None:
            self._encoder.flush()

    def send_trailers(self, trailers: HeaderMap) -> None:
        self._request_ended()
        if self._encoder is not None:
            self._encoder.encode_trailers(trailers)
        else:
            self._held = self._held or []
            self._trailers = trailers

    def _request_ended(self) -> None:
        if self._timeout:
            self._stream.set_timeout(self._stream.request_ended_at + self._timeout)

    def pause_reading(self) -> None:
        if self._encoder is not None and not self._done:
            self._cluster.stats.upstream_flow_control_paused_reading_total += 1
            self._encoder.pause_reading()

    def resume_reading(self) -> None:
        if self._encoder is not None and not self._done:
            self._cluster.stats.upstream_flow_control_resumed_reading_total += 1
            self._encoder.resume_reading()

    def timed_out(self) -> None:
        stats = self._cluster.stats
        stats.upstream_rq_timeout += 1
        stream = self._stream
        if stream.counts is not None:
            stream.counts.timed_out()
        if self._encoder is not None:
            self._pool.host.stats.rq_timeout += 1
        started = self._started
        self.cancel()
        if not started:
            self._charge(504, self._pool.host)
            outlier = self._pool.host.outlier
            if outlier is not None and self._encoder is not None:
                outlier.timed_out(504)
        stream.upstream = None
        stream.local_reply(504, b"upstream request timeout", flags.UT, "response_timeout")

    def _charge(self, status: int, host: Host | None) -> None:
        """Count a response, or the one that we gave in its place."""
        self._cluster.charge(status, host)
        if self._stream.counts is not None:
            self._stream.counts.charge(status)

    def cancel(self) -> None:
        if self._done:
            return
        self._done = True
        encoder = self._encoder
        if encoder is None:
            self._pool.cancel(self)
        else:
            encoder.reset()
            self._pool.stream_gone()

    # ---- from the upstream's codec: `ResponseDecoder`

    def decode_1xx(self, head: ResponseHead) -> None:
        """Envoy passes on none but 100, and that if told to (`proxy_100_continue`)."""
        self._heard = True
        stream = self._stream
        if head.status == 100 and stream.context.settings.proxy_100_continue:
            stream.encode_1xx(head)

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        outlier = self._pool.host.outlier
        if outlier is not None:
            outlier.answered(self._head, head)
        self._respond(head, end_stream)

    def _respond(self, head: ResponseHead, end_stream: bool) -> None:
        """Send the response to the client."""
        stream = self._stream
        if self._cluster.checked and _IMMEDIATE_FAILURE in head.index:
            self._cluster.told_unhealthy(self._pool.host)
        if stream.extras is not None:
            self._done = end_stream
            if stream.extras.response(head, end_stream):
                return
        self._started = True
        status = head.status
        stream.response_at = now = stream.context.monotonic()
        ended = stream.request_ended_at
        if ended and self._envoy_headers:
            value = b"%d" % int((now - ended) * 1000)
            index = head.index
            if _SERVICE_TIME in index:
                head.set(_SERVICE_TIME, value)
            else:
                index[_SERVICE_TIME] = value
                head.items.append((_SERVICE_TIME, value))
        self._charge(status, self._pool.host)
        stream.details = "via_upstream"
        route = stream.route
        if route is not None and route.response_rules is not None:
            route.response_rules.apply_to_response(head, stream)
        if end_stream:
            self._finish()
        stream.encode_headers(head, end_stream)

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        if end_stream:
            self._finish()
        self._stream.encode_data(data, end_stream)

    def flush(self) -> None:
        self._stream.flush_response()

    def decode_trailers(self, trailers: HeaderMap) -> None:
        self._finish()
        self._stream.encode_trailers(trailers)

    def _finish(self) -> None:
        self._done = True
        stream = self._stream
        ended = stream.request_ended_at
        if ended:
            stream.upstream = None
            took = int((stream.context.monotonic() - ended) * 1000)
            self._cluster.stats.rq_time.record(took)
            if stream.counts is not None:
                stream.counts.took(took)

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        if self._done:
            return
        if reason == ResetReason.CONNECTION_TERMINATION and self._can_repeat():
            self._repeat()
            return
        self._done = True
        self._pool.stream_gone()
        outlier = self._pool.host.outlier
        if outlier is not None:
            outlier.disconnected()
        if reason == ResetReason.PROTOCOL_ERROR:
            self._cluster.stats.upstream_cx_protocol_error += 1
        self._reset(reason, detail)

    def _can_repeat(self) -> bool:
        """Whether the end of the connection tells only that it had been idle for too long: it had carried requests
        before, of this one's answer no byte has come, and a second time does no harm (RFC 9110 section 9.2.2, RFC 9112
        section 9.3.1).  Envoy answers 503; we ask once more."""
        encoder = self._encoder
        return (
            encoder is not None
            and encoder.streams > 1
            and self._repeats < _MOST_REPEATS
            and not self._heard
            and not self._started
            and self._end_stream
            and not self._held_bytes
            and self._trailers is None
            and self._head.method in _REPEATABLE
            and self._stream.context.runtime.get_boolean(_REPEAT, True)
        )

    def _repeat(self) -> None:
        self._pool.stream_gone()
        self._encoder = None
        self._repeats += 1
        self._late = False
        self._cluster.stats.upstream_rq_idle_race_retry += 1
        self._stream.attempts += 1
        self._pool.new_stream_elsewhere(self)
        self._late = True

    def _reset(self, reason: ResetReason, detail: str) -> None:
        stream = self._stream
        stream.upstream = None
        if not self._started:
            self._charge(
                502 if reason == ResetReason.PROTOCOL_ERROR else 503,
                None if reason == ResetReason.OVERFLOW else self._pool.host,
            )
        answer_reset(stream, reason, detail, self._started)

    # ---- flow control from the upstream's transport

    def above_write_buffer_high_watermark(self) -> None:
        self._cluster.stats.upstream_flow_control_backed_up_total += 1
        self._stream.pause_request()

    def below_write_buffer_low_watermark(self) -> None:
        self._cluster.stats.upstream_flow_control_drained_total += 1
        self._stream.resume_request()
