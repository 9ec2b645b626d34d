"""One of the attempts that a `retrying_request.RetryingRequest` makes."""

from __future__ import annotations

from typing import Protocol

from twistproxy.api.codec import RequestEncoder, ResetReason
from twistproxy.api.upstream import PoolFailure
from twistproxy.filters.upstream_request import UpstreamRequest
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.primitives.byte_meter import ByteMeter
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host
from twistproxy.upstream.pool.http import HttpPool

NEVER = float("inf")


class AttemptOwner(Protocol):
    """Who decides what becomes of an attempt."""

    def host_tried(self, host: Host) -> None:
        """An attempt has a connection to this host, or has failed to get one."""

    def attempt_connected(self, attempt: Attempt, /) -> None:
        """Its request goes out."""

    def informed(self, attempt: Attempt, /) -> None:
        """An informational response came."""

    def response_head(self, attempt: Attempt, head: ResponseHead, end_stream: bool, /) -> None:
        """Its response begins: pass it on, or give the attempt up."""

    def heard(self, attempt: Attempt, /) -> None:
        """More of its response came."""

    def finished(self) -> None:
        """A response that was passed on is complete."""

    def would_retry(self, reason: ResetReason, attempt: Attempt, /) -> bool:
        """Whether such an end of the attempt is followed by another, as the policy has it."""

    def attempt_reset(self, attempt: Attempt, reason: ResetReason, detail: str, /) -> None:
        """It ended without a response, or in the middle of one."""


class Attempt(UpstreamRequest):
    """One attempt, which asks its owner what to do with what comes.

    host         where it is or was, None while it waits for a connection
    blamed       outlier detection knows that it is slow
    retried      another attempt was started because of it, though it goes on (hedging)
    try_at, idle_at, duration_at   when its per-try timeout, its per-try idle timeout and its longest duration are over
    """

    __slots__ = (
        "_meter",
        "_owner",
        "_pauses",
        "blamed",
        "duration_at",
        "host",
        "idle_at",
        "retried",
        "try_at",
    )

    def __init__(
        self,
        owner: AttemptOwner,
        stream: Stream,
        cluster: Cluster,
        pool: HttpPool,
        head: RequestHead,
        end_stream: bool,
        envoy_headers: bool,
    ) -> None:
        super().__init__(stream, cluster, pool, head, end_stream, 0.0, envoy_headers)
        self._owner = owner
        self._pauses = 0
        self._meter: ByteMeter | None = None
        self.host: Host | None = None
        self.blamed = False
        self.retried = False
        self.try_at = self.idle_at = self.duration_at = NEVER

    @property
    def sent(self) -> bool:
        """Whether its request has begun to go out."""
        return self._encoder is not None

    # ---- from pool and codec

    def pool_ready(self, encoder: RequestEncoder, host: Host) -> None:
        self.host = host
        owner = self._owner
        owner.host_tried(host)
        super().pool_ready(encoder, host)
        self._meter = self._stream.upstream_meter
        if not self._done:
            owner.attempt_connected(self)

    def pool_failed(self, failure: PoolFailure, detail: str) -> None:
        if failure != PoolFailure.OVERFLOW:
            self.host = self._pool.host
            self._owner.host_tried(self.host)
        super().pool_failed(failure, detail)

    def decode_1xx(self, head: ResponseHead) -> None:
        self._owner.informed(self)
        super().decode_1xx(head)

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        outlier = self._pool.host.outlier
        if outlier is not None:
            outlier.answered(self._head, head)
        self._owner.response_head(self, head, end_stream)

    def pass_on(self, head: ResponseHead, end_stream: bool) -> None:
        """This is the response: send it to the client."""
        stream = self._stream
        stream.host = self.host
        # Not `attached`: if the response is complete, the connection may be another stream's by now.
        stream.upstream_connection = self._encoder
        stream.upstream_meter = self._meter
        super()._respond(head, end_stream)

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        if self.idle_at != NEVER:
            self._owner.heard(self)
        super().decode_data(data, end_stream)

    def _finish(self) -> None:
        self._owner.finished()
        super()._finish()

    def _can_repeat(self) -> bool:
        """The route's own policy goes first, as long as it has retries left.  These may have met with further
        connections that had been idle for too long."""
        return super()._can_repeat() and not self._owner.would_retry(ResetReason.CONNECTION_TERMINATION, self)

    def _reset(self, reason: ResetReason, detail: str) -> None:
        self._owner.attempt_reset(self, reason, detail)

    def slow(self, status: int, flag: int = 0) -> None:
        """A time limit is over; `status`: what the client would be told, `flag`: of the attempt.  Of a host it is known
        once."""
        host = self.host
        if host is not None and host.outlier is not None and not self.blamed:
            self.blamed = True
            host.outlier.timed_out(status)

    # ---- the end of an attempt that is given up

    def give_up(self, end_stream: bool = False) -> None:
        """`end_stream`: its response is complete, so that its connection may be kept."""
        if end_stream:
            self._done = True
        else:
            self.cancel()
        self.resume_request()

    def resume_request(self) -> None:
        """What this attempt had paused goes on."""
        stream = self._stream
        if self._paused:
            self._paused = False
            stream.resume_request()
        while self._pauses:
            self._pauses -= 1
            stream.resume_request()

    def above_write_buffer_high_watermark(self) -> None:
        self._pauses += 1
        super().above_write_buffer_high_watermark()

    def below_write_buffer_low_watermark(self) -> None:
        if self._pauses:
            self._pauses -= 1
            super().below_write_buffer_low_watermark()
