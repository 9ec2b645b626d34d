"""A request with all its attempts: retries, hedging, per-try time limits (Envoy: Router::Filter,
configuration/http/http_filters/router_filter).

Only a request whose route or headers ask for any of it has a `RetryingRequest` between its stream and its
`UpstreamRequest`s.
"""

from __future__ import annotations

from twistproxy.api.codec import ResetReason
from twistproxy.filters.attempt import NEVER, Attempt
from twistproxy.filters.attempt_maker import ATTEMPT_COUNT, AttemptMaker
from twistproxy.filters.attempt_timers import AttemptTimers
from twistproxy.filters.kept_request import KeptRequest
from twistproxy.filters.response_counts import ResponseCounts
from twistproxy.filters.retry_state import WHY_NOT, Decision, RetryState, Verdict
from twistproxy.filters.timeouts import Timeouts
from twistproxy.filters.upstream_request import answer_reset
from twistproxy.http.headers import Header, HeaderMap
from twistproxy.http.message import ResponseHead
from twistproxy.model.retry import RequestPlan
from twistproxy.observe import flags
from twistproxy.stream.stream import Stream
from twistproxy.upstream.host import Host


class RetryingRequest:
    """`api.http_filter.UpstreamSide`, `attempt.AttemptOwner` and `attempt_timers.TimersOwner`.

    Pieces of the request pass `send_data` and `send_trailers`, which keep them as long as another attempt may need them.
    Every response head of an attempt comes to `response_head`, which decides what becomes of it.
    """

    __slots__ = (
        "_cluster",
        "_complete_at",
        "_counts",
        "_is_timeout_retry",
        "_maker",
        "_plan",
        "_read_pauses",
        "_request",
        "_response_from",
        "_retry",
        "_started",
        "_stream",
        "_timeouts",
        "_timers",
    )

    def __init__(
        self,
        stream: Stream,
        request: KeptRequest,
        plan: RequestPlan,
        timeouts: Timeouts,
        retry: RetryState | None,
        maker: AttemptMaker,
        also: str,
    ) -> None:
        """`also`: a further name under which responses are counted, "" for none."""
        self._stream = stream
        self._cluster = maker.cluster
        self._plan = plan
        self._timeouts = timeouts
        self._retry = retry
        self._maker = maker
        self._request = request
        self._counts = ResponseCounts(stream, also)
        self._timers = AttemptTimers(self, timeouts, stream.context.monotonic, stream.context.deadlines)
        self._complete_at = 0.0
        self._is_timeout_retry = False
        self._response_from: Attempt | None = None
        self._started = False  # something of a response went out
        self._read_pauses = 0

    def start(self, host: Host) -> None:
        """Make the first attempt, at this host."""
        self._begin(self._maker.at(host, self))
        if self._request.complete:
            self._request_ended()

    # ---- from the stream: `UpstreamSide`

    def send_data(self, data: bytes, end_stream: bool) -> None:
        retry = self._retry
        if retry is not None and retry.enabled:
            if not self._request.keep(data) and self._too_large():
                return
        self._request.complete = end_stream
        for attempt in tuple(self._timers.attempts):
            attempt.send_data(data, end_stream)
        if end_stream:
            self._request_ended()

    def send_trailers(self, trailers: HeaderMap) -> None:
        self._request.trailers = trailers
        self._request.complete = True
        for attempt in tuple(self._timers.attempts):
            attempt.send_trailers(trailers)
        self._request_ended()

    def flush_request(self) -> None:
        for attempt in self._timers.attempts:
            attempt.flush_request()

    def pause_reading(self) -> None:
        if self._response_from is not None:
            self._response_from.pause_reading()
        else:
            self._read_pauses += 1

    def resume_reading(self) -> None:
        if self._response_from is not None:
            self._response_from.resume_reading()
        elif self._read_pauses:
            self._read_pauses -= 1

    def timed_out(self) -> None:
        """The time limit of the whole request is over."""
        for attempt in self._timers.attempts:
            self._counts.total_timeout(self._cluster)
            if attempt.host is not None:
                attempt.host.stats.rq_timeout += 1
            if not self._started:
                attempt.slow(self._timeouts.status)
                self._counts.timed_out(self._cluster, self._timeouts.status, attempt)
        self._timeout("response_timeout")

    def cancel(self) -> None:
        """Nobody wants the response any more."""
        attempts, self._timers.attempts = self._timers.attempts, []
        for attempt in attempts:
            attempt.give_up()
        self.finished()

    # ---- from the attempts

    def host_tried(self, host: Host) -> None:
        self._maker.hosts.tried(host)

    def attempt_connected(self, attempt: Attempt) -> None:
        self._timers.connected(attempt, self._request.complete)

    def heard(self, attempt: Attempt) -> None:
        self._timers.heard(attempt)

    def informed(self, attempt: Attempt) -> None:
        """An informational response came: with it the response has begun, as Envoy sees it."""
        self._started = True
        self._end_retries()
        self._keep_only(attempt)

    def response_head(self, attempt: Attempt, head: ResponseHead, end_stream: bool) -> None:
        """Here it is decided whether an attempt's response is the client's."""
        self._timers.heard(attempt)
        unwanted = False
        retry = self._retry
        if retry is not None:
            if attempt.retried:
                unwanted = retry.after_head(head) != Decision.NO
            else:
                verdict = retry.judge_head(head, end_stream)
                if verdict == Verdict.YES:
                    self._cluster.stats.count_also("retry", head.status)
                    self._retry_instead(attempt, end_stream, False)
                    return
                unwanted = verdict != Verdict.NO
                self._stream.flags |= WHY_NOT[verdict]
        if unwanted and self._others_wait(attempt):
            # Another attempt may still bring something better.
            self._reject(attempt, end_stream)
            self._timers.rearm()
            return
        self._end_retries()
        self._keep_only(attempt)
        self._started = True
        self._response_from = attempt
        attempt.try_at = NEVER
        if self._plan.count_in_response:
            head.set(ATTEMPT_COUNT, b"%d" % self._stream.attempts)
        self._counts.passed(self._cluster, head.status)
        self._timers.rearm()
        for _ in range(self._read_pauses):
            attempt.pause_reading()
        attempt.pass_on(head, end_stream)

    def would_retry(self, reason: ResetReason, attempt: Attempt) -> bool:
        """Whether such an end of the attempt is followed by another, as the policy has it."""
        retry = self._retry
        return (
            retry is not None and retry.may_retry() and retry.after_reset(reason, attempt.sent) != Decision.NO
        )

    def attempt_reset(self, attempt: Attempt, reason: ResetReason, detail: str) -> None:
        """An attempt ended without a response, or in the middle of one."""
        attempt.resume_request()
        if attempt not in self._timers.attempts:
            return
        if self._retry_reset(attempt, reason, False, attempt.sent):
            return
        self._timers.attempts.remove(attempt)
        if not self._started:
            status = 502 if reason == ResetReason.PROTOCOL_ERROR else 503
            self._counts.charge(self._cluster, status, attempt.host)
        if self._others_wait(attempt):
            self._timers.rearm()
            return
        stream = self._stream
        started = self._response_from is not None
        self.cancel()
        stream.upstream = None
        answer_reset(stream, reason, detail, started, stream.attempts > 1, self._reply_headers())

    def finished(self) -> None:
        """The response is complete, or nobody waits for it."""
        self._end_retries()
        self._timers.attempts = []
        self._response_from = None
        self._timers.rearm()

    # ---- time: `attempt_timers.TimersOwner`

    def _request_ended(self) -> None:
        """From now on the time of the response is measured."""
        stream = self._stream
        if stream.end:
            return
        self._complete_at = now = stream.context.monotonic()
        if self._timeouts.total:
            stream.set_timeout(now + self._timeouts.total / 1000)
        self._timers.request_ended()

    def try_timed_out(self, attempt: Attempt, idle: bool) -> None:
        attempt.slow(self._timeouts.status, flags.SI if idle else flags.UT)
        if self._timeouts.hedge:
            self._hedge(attempt)
            return
        stats = self._cluster.stats
        if idle:
            stats.upstream_rq_per_try_idle_timeout += 1
        else:
            stats.upstream_rq_per_try_timeout += 1
        if attempt.host is not None:
            attempt.host.stats.rq_timeout += 1
        if self._retry_reset(attempt, ResetReason.LOCAL_RESET, True):
            return
        if not self._started:
            self._counts.timed_out(self._cluster, self._timeouts.status, attempt)
        self._timeout("upstream_per_try_idle_timeout" if idle else "upstream_per_try_timeout")

    def duration_reached(self, attempt: Attempt) -> None:
        host = attempt.host
        cluster = self._cluster if host is None else self._cluster.of(host)
        cluster.stats.upstream_rq_max_duration_reached += 1
        if self._retry_reset(attempt, ResetReason.LOCAL_RESET, False):
            return
        status = 504 if self._request.complete else 408
        body = b"upstream max stream duration reached"
        self._fail(status, body, flags.UMSDR, "upstream_max_stream_duration_reached")

    def _hedge(self, attempt: Attempt) -> None:
        """The attempt is slow: let another one race against it."""
        retry = self._retry
        if self._started or retry is None:
            return
        verdict = retry.judge(Decision.LATER)
        if verdict == Verdict.YES:
            attempt.retried = True
            self._retry_later(True)
        else:
            self._stream.flags |= WHY_NOT[verdict]

    def _timeout(self, details: str) -> None:
        status = self._timeouts.status
        self._fail(status, b"upstream request timeout" if status == 504 else b"", flags.UT, details)

    # ---- attempts

    def _begin(self, attempt: Attempt | None) -> None:
        """`attempt`: None if there is no host for it."""
        if attempt is None:
            self._counts.charge(self._cluster, 503, None)
            self._fail(503, b"no healthy upstream", flags.UH, "no_healthy_upstream")
            return
        self._timers.attempts.append(attempt)
        attempt.start()
        if attempt in self._timers.attempts:
            self._request.send(attempt)

    def try_again(self) -> None:
        """The back-off is over."""
        if self._retry is not None:
            self._retry.count()
        self._stream.attempts += 1
        attempt = self._maker.again(self, self._is_timeout_retry, self._complete_at)
        self._cluster = self._maker.cluster
        self._begin(attempt)
        self.flush_request()  # a head that waits for content would wait for the client

    def _retry_reset(
        self, attempt: Attempt, reason: ResetReason, is_timeout: bool, ended: bool = False
    ) -> bool:
        """Whether another attempt takes the place of this one, which has no response.  `ended`: its stream is gone."""
        retry = self._retry
        if self._started or retry is None or attempt.retried:
            return False
        verdict = retry.judge(retry.after_reset(reason, attempt.sent), ended=ended)
        if verdict != Verdict.YES:
            self._stream.flags |= WHY_NOT[verdict]
            return False
        self._retry_instead(attempt, False, is_timeout)
        return True

    def _retry_instead(self, attempt: Attempt, end_stream: bool, is_timeout: bool) -> None:
        self._reject(attempt, end_stream)
        self._retry_later(is_timeout)

    def _retry_later(self, is_timeout: bool) -> None:
        assert self._retry is not None
        self._is_timeout_retry = is_timeout
        self._timers.retry_in(self._retry.delay)

    def _reject(self, attempt: Attempt, end_stream: bool) -> None:
        """The attempt is over, and its host is to blame."""
        if attempt.host is not None:
            attempt.host.stats.rq_error += 1
        self._timers.attempts.remove(attempt)
        attempt.give_up(end_stream)

    def _others_wait(self, attempt: Attempt) -> bool:
        """Whether another attempt is under way or about to be."""
        return self._timers.retry_at != NEVER or any(other is not attempt for other in self._timers.attempts)

    def _keep_only(self, attempt: Attempt) -> None:
        others = [other for other in self._timers.attempts if other is not attempt]
        self._timers.attempts = [attempt]
        for other in others:
            other.give_up()

    def _end_retries(self) -> None:
        """There will be no further attempt."""
        self._timers.retry_at = NEVER
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.release()
        self._request.forget()

    def _too_large(self) -> bool:
        """The request cannot be kept, so there will be no further attempt.  Whether that is the end of it."""
        self._cluster.stats.retry_or_shadow_abandoned += 1
        self._end_retries()
        self._timers.rearm()
        if self._timers.attempts:
            return False
        body = b"exceeded request buffer limit while retrying upstream"
        self._fail(507, body, 0, "request_payload_exceeded_retry_buffer_limit")
        return True

    # ---- our own answers

    def _reply_headers(self) -> tuple[Header, ...]:
        if self._plan.count_in_response:
            return ((ATTEMPT_COUNT, b"%d" % self._stream.attempts),)
        return ()

    def _fail(self, status: int, body: bytes, flag: int, details: str) -> None:
        stream = self._stream
        self.cancel()
        stream.upstream = None
        stream.local_reply(status, body, flag, details, self._reply_headers())
