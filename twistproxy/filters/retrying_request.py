"""A request with all its attempts: retries, hedging, per-try time limits (Envoy: Router::Filter,
configuration/http/http_filters/router_filter).

Only a request whose route or headers ask for any of it has a `RetryingRequest` between its stream and its
`UpstreamRequest`s.
"""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.api.codec import ResetReason
from twistproxy.filters.attempt import NEVER, Attempt
from twistproxy.filters.retry_hosts import HostChoice
from twistproxy.filters.retry_state import Decision, RetryState, Verdict
from twistproxy.filters.timeouts import Timeouts
from twistproxy.filters.upstream_request import answer_reset
from twistproxy.http.headers import Header, HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.retry import RequestPlan
from twistproxy.observe import flags
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host

#: Bytes of a request that are kept for another attempt (Envoy's default for per_connection_buffer_limit_bytes).
BUFFER_LIMIT = 1024 * 1024
ATTEMPT_COUNT = b"x-envoy-attempt-count"


def body_limit(plan: RequestPlan, of_listener: int) -> int:
    """How many bytes of a request are kept for another attempt."""
    if plan.buffer_limit is None:
        return of_listener
    return plan.buffer_limit if plan.buffer_limit_is_own else min(plan.buffer_limit, of_listener)


class RetryingRequest:
    """`api.http_filter.UpstreamSide` and `primitives.deadlines.HasDeadline`.

    Pieces of the request pass `send_data` and `send_trailers`, which keep them as long as another attempt may need them.
    Every response head of an attempt comes to `response_head`, which decides what becomes of it.
    """

    __slots__ = (
        "_also",
        "_attempts",
        "_body",
        "_body_bytes",
        "_body_limit",
        "_cluster",
        "_complete",
        "_complete_at",
        "_envoy_headers",
        "_get_cluster",
        "_head",
        "_high_priority",
        "_hosts",
        "_is_timeout_retry",
        "_plan",
        "_read_pauses",
        "_response_from",
        "_retry",
        "_retry_at",
        "_started",
        "_stream",
        "_timeouts",
        "_trailers",
        "deadline",
    )

    def __init__(
        self,
        stream: Stream,
        cluster: Cluster,
        head: RequestHead,
        plan: RequestPlan,
        timeouts: Timeouts,
        retry: RetryState | None,
        hosts: HostChoice,
        high_priority: bool,
        envoy_headers: bool,
        get_cluster: Callable[[str], Cluster | None],
        body_limit: int,
        also: str,
    ) -> None:
        """body_limit  bytes of content that are kept for further attempts
        also        a further name under which responses are counted, "" for none
        """
        self._stream = stream
        self._cluster = cluster
        self._head = head
        self._plan = plan
        self._timeouts = timeouts
        self._retry = retry
        self._high_priority = high_priority
        self._envoy_headers = envoy_headers
        self._get_cluster = get_cluster
        self._body_limit = body_limit
        self._also = also
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._trailers: HeaderMap | None = None
        self._complete = False  # the request is
        self._complete_at = 0.0
        self._attempts: list[Attempt] = []
        self._hosts = hosts
        self._is_timeout_retry = False
        self._retry_at = NEVER
        self._response_from: Attempt | None = None
        self._started = False  # something of a response went out
        self._read_pauses = 0
        self.deadline = NEVER

    def start(self, host: Host, end_stream: bool) -> None:
        """Make the first attempt, at this host."""
        self._complete = end_stream
        self._attempt(host)
        if end_stream:
            self._request_ended()

    # ---- from the stream: `UpstreamSide`

    def send_data(self, data: bytes, end_stream: bool) -> None:
        retry = self._retry
        if retry is not None and retry.enabled:
            self._body_bytes += len(data)
            if self._body_bytes > self._body_limit:
                self._give_up_retries()
                if not self._attempts:
                    self._fail(
                        507,
                        b"exceeded request buffer limit while retrying upstream",
                        0,
                        "request_payload_exceeded_retry_buffer_limit",
                    )
                    return
            else:
                self._body.append(data)
        self._complete = end_stream
        for attempt in tuple(self._attempts):
            attempt.send_data(data, end_stream)
        if end_stream:
            self._request_ended()

    def send_trailers(self, trailers: HeaderMap) -> None:
        self._trailers = trailers
        self._complete = True
        for attempt in tuple(self._attempts):
            attempt.send_trailers(trailers)
        self._request_ended()

    def flush_request(self) -> None:
        for attempt in self._attempts:
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
        stats = self._cluster.stats
        for attempt in self._attempts:
            stats.upstream_rq_timeout += 1
            if self._stream.counts is not None:
                self._stream.counts.timed_out()
            if attempt.host is not None:
                attempt.host.stats.rq_timeout += 1
            self._charge_timeout(attempt)
        self._timeout(flags.UT, "response_timeout")

    def cancel(self) -> None:
        """Nobody wants the response any more."""
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            attempt.give_up()
        self.finished()

    # ---- from the attempts

    def host_tried(self, host: Host) -> None:
        self._hosts.tried(host)

    def attempt_connected(self, attempt: Attempt) -> None:
        duration = self._timeouts.duration
        if duration:
            attempt.duration_at = self._now() + duration / 1000
        if self._complete:
            self._limit(attempt)
        self._rearm()

    def heard(self, attempt: Attempt) -> None:
        """The upstream is not silent."""
        attempt.idle_at = self._now() + self._timeouts.per_try_idle / 1000

    def informed(self, attempt: Attempt) -> None:
        """An informational response came: with it the response has begun, as Envoy sees it."""
        self._started = True
        self._end_retries()
        self._keep_only(attempt)

    def response_head(self, attempt: Attempt, head: ResponseHead, end_stream: bool) -> None:
        """Here it is decided whether an attempt's response is the client's."""
        if attempt.idle_at != NEVER:
            self.heard(attempt)
        unwanted = False
        retry = self._retry
        if retry is not None:
            if attempt.retried:
                unwanted = retry.after_head(head) != Decision.NO
            else:
                verdict = retry.judge_head(head)
                if verdict == Verdict.YES:
                    self._cluster.stats.count_also("retry", head.status)
                    self._retry_instead(attempt, end_stream, False)
                    return
                unwanted = self._note(verdict)
        if unwanted and self._others_wait(attempt):
            # Another attempt may still bring something better.
            self._reject(attempt, end_stream)
            self._rearm()
            return
        self._end_retries()
        self._keep_only(attempt)
        self._started = True
        self._response_from = attempt
        attempt.try_at = NEVER
        if self._plan.count_in_response:
            head.set(ATTEMPT_COUNT, b"%d" % self._stream.attempts)
        self._count_also(head.status)
        self._rearm()
        for _ in range(self._read_pauses):
            attempt.pause_reading()
        attempt.pass_on(head, end_stream)

    def would_retry(self, reason: ResetReason, attempt: Attempt) -> bool:
        """Whether the policy has something to say about such an end of the attempt."""
        retry = self._retry
        return retry is not None and retry.after_reset(reason, attempt.sent) != Decision.NO

    def attempt_reset(self, attempt: Attempt, reason: ResetReason, detail: str) -> None:
        """An attempt ended without a response, or in the middle of one."""
        attempt.resume_request()
        if attempt not in self._attempts:
            return
        if self._retry_reset(attempt, reason, False):
            return
        self._attempts.remove(attempt)
        if not self._started:
            status = 502 if reason == ResetReason.PROTOCOL_ERROR else 503
            self._charge(status, attempt.host)
        if self._others_wait(attempt):
            self._rearm()
            return
        stream = self._stream
        started = self._response_from is not None
        self.cancel()
        stream.upstream = None
        answer_reset(stream, reason, detail, started, stream.attempts > 1, self._reply_headers())

    def finished(self) -> None:
        """The response is complete, or nobody waits for it."""
        self._end_retries()
        self._attempts = []
        self._response_from = None
        self._rearm()

    # ---- time

    def on_deadline(self, now: float) -> None:
        """Called by `Deadlines`."""
        for attempt in tuple(self._attempts):
            if attempt not in self._attempts:
                continue
            stats = self._cluster.stats
            if now >= attempt.duration_at:
                attempt.duration_at = NEVER
                stats.upstream_rq_max_duration_reached += 1
                self._duration_reached(attempt)
            elif now >= attempt.try_at:
                attempt.try_at = attempt.idle_at = NEVER
                if not self._timeouts.hedge:
                    stats.upstream_rq_per_try_timeout += 1
                self._try_timed_out(attempt, "upstream_per_try_timeout")
            elif now >= attempt.idle_at:
                attempt.try_at = attempt.idle_at = NEVER
                if not self._timeouts.hedge:
                    stats.upstream_rq_per_try_idle_timeout += 1
                self._try_timed_out(attempt, "upstream_per_try_idle_timeout")
        if now >= self._retry_at:
            self._try_again()
        self._rearm()

    def _rearm(self) -> None:
        """Wake up when the next limit is reached."""
        due = self._retry_at
        for attempt in self._attempts:
            due = min(due, attempt.try_at, attempt.idle_at, attempt.duration_at)
        deadlines = self._stream.context.deadlines
        if due != NEVER:
            self.deadline = due
            deadlines.add(self)
        elif self.deadline != NEVER:
            self.deadline = NEVER
            deadlines.discard(self)

    def _now(self) -> float:
        return self._stream.context.monotonic()

    def _request_ended(self) -> None:
        """From now on the time of the response is measured."""
        stream = self._stream
        if stream.end:
            return
        self._complete_at = now = self._now()
        if self._timeouts.total:
            stream.set_timeout(now + self._timeouts.total / 1000)
        for attempt in self._attempts:
            if attempt.sent:
                self._limit(attempt)
        self._rearm()

    def _limit(self, attempt: Attempt) -> None:
        """The limits of one attempt count from when it has a connection and the request is complete."""
        timeouts = self._timeouts
        now = self._now()
        if timeouts.per_try:
            attempt.try_at = now + timeouts.per_try / 1000
        if timeouts.per_try_idle:
            attempt.idle_at = now + timeouts.per_try_idle / 1000

    def _try_timed_out(self, attempt: Attempt, details: str) -> None:
        if self._timeouts.hedge:
            self._hedge(attempt)
            return
        if attempt.host is not None:
            attempt.host.stats.rq_timeout += 1
        if self._retry_reset(attempt, ResetReason.LOCAL_RESET, True):
            return
        self._charge_timeout(attempt)
        self._timeout(flags.UT, details)

    def _duration_reached(self, attempt: Attempt) -> None:
        if self._retry_reset(attempt, ResetReason.LOCAL_RESET, False):
            return
        status = 504 if self._complete else 408
        self._fail(
            status,
            b"upstream max stream duration reached",
            flags.UMSDR,
            "upstream_max_stream_duration_reached",
        )

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
            self._note(verdict)

    def _charge_timeout(self, attempt: Attempt) -> None:
        """Count our own answer as the upstream's."""
        if self._started:
            return
        status = self._timeouts.status
        if status >= 500:
            self._charge(status, attempt.host)
        else:
            self._charge(status, None)
            if attempt.host is not None:
                attempt.host.stats.rq_error += 1

    def _charge(self, status: int, host: Host | None) -> None:
        self._cluster.charge(status, host)
        if self._stream.counts is not None:
            self._stream.counts.charge(status)
        self._count_also(status)

    def _count_also(self, status: int) -> None:
        also = self._also
        if also:
            stats = self._cluster.stats
            stats.count_also(also, status)
            internal = b"x-envoy-internal" in self._head.index
            stats.count_also(also + (".internal" if internal else ".external"), status)

    def _timeout(self, flag: int, details: str) -> None:
        status = self._timeouts.status
        self._fail(status, b"upstream request timeout" if status == 504 else b"", flag, details)

    # ---- attempts

    def _attempt(self, host: Host) -> None:
        stream = self._stream
        head = self._head
        rewrites = stream.route.rewrites
        if rewrites is not None and rewrites.auto_host:
            rewrites.name_host(head, host.endpoint.hostname, self._envoy_headers)
        pool = self._cluster.pool(host, self._high_priority)
        body = self._body
        trailers = self._trailers
        headers_only = self._complete and not body and trailers is None
        attempt = Attempt(self, stream, self._cluster, pool, head, headers_only, self._envoy_headers)
        self._attempts.append(attempt)
        attempt.start()
        if body and attempt in self._attempts:
            attempt.send_data(b"".join(body), self._complete and trailers is None)
        if trailers is not None and attempt in self._attempts:
            attempt.send_trailers(trailers)

    def _try_again(self) -> None:
        """The back-off is over."""
        self._retry_at = NEVER
        if self._retry is not None:
            self._retry.count()
        stream = self._stream
        stream.attempts += 1
        cluster = self._get_cluster(stream.cluster)  # it may have changed meanwhile
        host = None
        if cluster is not None:
            self._cluster = cluster
            host = self._hosts.pick(cluster)
        if host is None:
            self._charge(503, None)
            self._fail(503, b"no healthy upstream", flags.UH, "no_healthy_upstream")
            return
        if self._plan.count_in_request:
            self._head.set(ATTEMPT_COUNT, b"%d" % stream.attempts)
        if self._plan.tell_timeout_retry:
            self._head.set(b"x-envoy-is-timeout-retry", b"true" if self._is_timeout_retry else b"false")
        elapsed = int((self._now() - self._complete_at) * 1000) if self._complete_at else 0
        self._timeouts.tell(self._head, elapsed)
        self._attempt(host)

    def _retry_reset(self, attempt: Attempt, reason: ResetReason, is_timeout: bool) -> bool:
        """Whether another attempt takes the place of this one, which has no response."""
        retry = self._retry
        if self._started or retry is None or attempt.retried:
            return False
        verdict = retry.judge(retry.after_reset(reason, attempt.sent))
        if verdict != Verdict.YES:
            self._note(verdict)
            return False
        self._retry_instead(attempt, False, is_timeout)
        return True

    def _retry_instead(self, attempt: Attempt, end_stream: bool, is_timeout: bool) -> None:
        self._reject(attempt, end_stream)
        self._retry_later(is_timeout)

    def _retry_later(self, is_timeout: bool) -> None:
        assert self._retry is not None
        self._is_timeout_retry = is_timeout
        self._retry_at = self._now() + self._retry.delay
        self._rearm()

    def _reject(self, attempt: Attempt, end_stream: bool) -> None:
        """The attempt is over, and its host is to blame."""
        if attempt.host is not None:
            attempt.host.stats.rq_error += 1
        self._attempts.remove(attempt)
        attempt.give_up(end_stream)

    def _note(self, verdict: Verdict) -> bool:
        """Say in the log why there is no retry though the policy asked for one; whether that was so."""
        if verdict == Verdict.OVERFLOW:
            self._stream.flags |= flags.UO
        elif verdict == Verdict.LIMIT:
            self._stream.flags |= flags.URX
        else:
            return False
        return True

    def _others_wait(self, attempt: Attempt) -> bool:
        """Whether another attempt is under way or about to be."""
        return self._retry_at != NEVER or any(other is not attempt for other in self._attempts)

    def _keep_only(self, attempt: Attempt) -> None:
        others = [other for other in self._attempts if other is not attempt]
        self._attempts = [attempt]
        for other in others:
            other.give_up()

    def _end_retries(self) -> None:
        """There will be no further attempt."""
        self._retry_at = NEVER
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.release()
        self._body = []

    def _give_up_retries(self) -> None:
        """The request is too large to be kept."""
        self._cluster.stats.retry_or_shadow_abandoned += 1
        self._end_retries()
        self._rearm()

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
