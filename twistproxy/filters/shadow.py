"""Mirrored requests: sent and forgotten (Envoy: Router::ShadowWriter, http/http_routing#mirroring).

The copy goes out while the request comes in.  A slow or dead mirror never holds up the request itself, where Envoy
lets it pause the client: content that the mirror does not take is held up to the buffer limit of its cluster, and then
the copy is given up.
"""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.api.codec import RequestEncoder, ResetReason
from twistproxy.api.http_filter import UpstreamSide
from twistproxy.api.upstream import PoolFailure
from twistproxy.filters.balancer_context import CopyContext
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.route.action import Route
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host
from twistproxy.upstream.pool.http import HttpPool

_EXPECTED_TIMEOUT = b"x-envoy-expected-rq-timeout-ms"
_FOREVER = float("inf")
#: Content that is held for a mirror (Envoy's default for per_connection_buffer_limit_bytes).
_HELD_LIMIT = 1024 * 1024


def mirror(
    stream: Stream,
    route: Route,
    head: RequestHead,
    end_stream: bool,
    timeout: float,
    get_cluster: Callable[[str], Cluster | None],
) -> None:
    """Start the copies of a request that the route's policies ask for.

    head     as it went to the upstream
    timeout  seconds from the end of the request that a copy's answer may take, 0 for ever
    """
    primary = stream.upstream
    if primary is None and not end_stream:
        return  # it has failed already: there will be no content
    shadows: list[Shadow] = []
    for policy in route.mirrors or ():
        cluster = get_cluster(policy.cluster(head)) if policy.wants(stream) else None
        if cluster is None:
            continue
        cluster.stats.copies += 1
        copied = policy.copy(head, stream, stream.context.request_headers.own_address)
        if timeout and _EXPECTED_TIMEOUT in copied.index:
            copied.set(_EXPECTED_TIMEOUT, b"%d" % round(timeout * 1000))
        host = cluster.choose(CopyContext(stream, route, head)) if cluster.contextual else cluster.pick()
        pool = None
        if host is None:
            cluster.stats.upstream_cx_none_healthy += 1
        else:
            pool = cluster.pool(host, False)
        if pool is None:
            cluster.charge(503, None)
            cluster.stats.count_internal(503)
            continue
        shadow = Shadow(stream, cluster, pool, copied, end_stream, timeout)
        shadow.start()
        if not shadow.done:
            shadows.append(shadow)
    if shadows and not end_stream and primary is not None:
        stream.upstream = stream.extra().mirrored = MirroredRequest(primary, shadows)


class MirroredRequest:
    """`UpstreamSide` of a request with copies: what goes to the upstream goes to them, too."""

    __slots__ = ("_primary", "_shadows")

    def __init__(self, primary: UpstreamSide, shadows: list[Shadow]) -> None:
        self._primary = primary
        self._shadows = shadows

    def send_data(self, data: bytes, end_stream: bool) -> None:
        shadows = self._shadows
        if end_stream:
            self._shadows = []
        for shadow in shadows:
            shadow.send_data(data, end_stream)
        self._primary.send_data(data, end_stream)

    def send_trailers(self, trailers: HeaderMap) -> None:
        shadows, self._shadows = self._shadows, []
        for shadow in shadows:
            shadow.send_trailers(HeaderMap(list(trailers.items)))
        self._primary.send_trailers(trailers)

    def flush_request(self) -> None:
        for shadow in self._shadows:
            shadow.flush_request()
        self._primary.flush_request()

    def pause_reading(self) -> None:
        self._primary.pause_reading()

    def resume_reading(self) -> None:
        self._primary.resume_reading()

    def timed_out(self) -> None:
        self._primary.timed_out()

    def cancel(self) -> None:
        self._primary.cancel()

    def stream_ended(self) -> None:
        """Copies whose request will never be complete are of no use."""
        shadows, self._shadows = self._shadows, []
        for shadow in shadows:
            shadow.cancel()


class Shadow:
    """One copy: `api.upstream.PoolCallbacks`, `api.codec.ResponseDecoder` and `primitives.deadlines.HasDeadline`."""

    __slots__ = (
        "_cluster",
        "_deadlines",
        "_encoder",
        "_end_stream",
        "_ended_at",
        "_head",
        "_held",
        "_held_bytes",
        "_monotonic",
        "_paused",
        "_pool",
        "_started",
        "_timeout",
        "_trailers",
        "deadline",
        "done",
    )

    def __init__(
        self,
        stream: Stream,
        cluster: Cluster,
        pool: HttpPool,
        head: RequestHead,
        end_stream: bool,
        timeout: float,
    ) -> None:
        self._monotonic = stream.context.monotonic
        self._deadlines = stream.context.deadlines
        self._cluster = cluster
        self._pool = pool
        self._head = head
        self._end_stream = end_stream
        self._timeout = timeout
        self._ended_at = 0.0
        self._encoder: RequestEncoder | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._trailers: HeaderMap | None = None
        self._paused = True  # there is no connection yet
        self._started = False
        self.deadline = _FOREVER
        self.done = False

    def start(self) -> None:
        """Ask the pool for a stream."""
        if self._end_stream:
            self._request_ended()
        self._pool.new_stream(self)

    # ---- from the request that it is a copy of

    def send_data(self, data: bytes, end_stream: bool) -> None:
        if self.done:
            return
        if end_stream:
            self._end_stream = True
            self._request_ended()
        encoder = self._encoder
        if encoder is not None and not self._paused:
            encoder.encode_data(data, end_stream)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > (self._cluster.settings.buffer_limit or _HELD_LIMIT):
            self._cluster.stats.retry_or_shadow_abandoned += 1
            self.cancel()

    def send_trailers(self, trailers: HeaderMap) -> None:
        if self.done:
            return
        self._end_stream = True
        self._request_ended()
        self._trailers = trailers
        if not self._paused:
            self._send_held()

    def flush_request(self) -> None:
        if self._encoder is not None and not self.done:
            self._encoder.flush()

    def cancel(self) -> None:
        if self.done:
            return
        self._finish()
        if self._encoder is None:
            self._pool.cancel(self)
        else:
            self._encoder.reset()
            self._pool.stream_gone()

    def _request_ended(self) -> None:
        self._ended_at = now = self._monotonic()
        if self._timeout:
            self.deadline = now + self._timeout
            self._deadlines.add(self)

    def _send_held(self) -> None:
        """What has waited, and the end if that is known."""
        encoder = self._encoder
        assert encoder is not None
        held, self._held = self._held, []
        self._held_bytes = 0
        last = len(held) - 1
        trailers = self._trailers
        for at, data in enumerate(held):
            encoder.encode_data(data, self._end_stream and at == last and trailers is None)
        if trailers is not None:
            encoder.encode_trailers(trailers)

    # ---- from the pool

    def pool_ready(self, encoder: RequestEncoder, host: Host) -> None:
        self._encoder = encoder
        if host.outlier is not None:
            host.outlier.connected()
        self._paused = False
        headers_only = self._end_stream and not self._held and self._trailers is None
        encoder.encode_headers(self._head, headers_only)
        if not headers_only:
            if self._held or self._trailers is not None:
                self._send_held()
            else:
                encoder.flush()

    def pool_failed(self, failure: PoolFailure, detail: str) -> None:
        self._finish()
        host = None if failure == PoolFailure.OVERFLOW else self._pool.host
        if host is not None and host.outlier is not None:
            host.outlier.disconnected()
        self._charge(503, host)

    # ---- from the upstream's codec: what comes is counted and goes nowhere

    def decode_1xx(self, head: ResponseHead) -> None: ...

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        self._started = True
        host = self._pool.host
        if host.outlier is not None:
            host.outlier.answered(self._head, head)
        self._charge(head.status, host)
        if end_stream:
            self._response_ended()

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        if end_stream:
            self._response_ended()

    def decode_trailers(self, trailers: HeaderMap) -> None:
        self._response_ended()

    def flush(self) -> None: ...

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        if self.done:
            return
        self._finish()
        self._pool.stream_gone()
        outlier = self._pool.host.outlier
        if outlier is not None:
            outlier.disconnected()
        if reason == ResetReason.PROTOCOL_ERROR:
            self._cluster.stats.upstream_cx_protocol_error += 1
        if not self._started:
            self._charge(502 if reason == ResetReason.PROTOCOL_ERROR else 503, self._pool.host)

    def above_write_buffer_high_watermark(self) -> None:
        self._cluster.stats.upstream_flow_control_backed_up_total += 1
        self._paused = True

    def below_write_buffer_low_watermark(self) -> None:
        self._cluster.stats.upstream_flow_control_drained_total += 1
        self._paused = False
        if not self.done and (self._held or self._trailers is not None):
            self._send_held()

    def _charge(self, status: int, host: Host | None) -> None:
        self._cluster.charge(status, host)
        self._cluster.stats.count_internal(status)

    def _response_ended(self) -> None:
        if self._ended_at:
            self._cluster.stats.record_internal(int((self._monotonic() - self._ended_at) * 1000))
        self._finish()

    def _finish(self) -> None:
        self.done = True
        self._held = []
        self._deadlines.discard(self)

    def on_deadline(self, now: float) -> None:
        """Called by `Deadlines`: the answer is not there in time."""
        self._cluster.stats.upstream_rq_timeout += 1
        if self._encoder is not None:
            self._pool.host.stats.rq_timeout += 1
        started = self._started
        outlier = self._pool.host.outlier
        if outlier is not None and self._encoder is not None and not started:
            outlier.timed_out(504)
        self.cancel()
        if not started:
            self._charge(504, self._pool.host)
