"""Delays and aborts requests, and slows responses, on purpose (Envoy: configuration/http/http_filters/fault_filter)."""

from __future__ import annotations

from typing import Any

from twistproxy.api.clock import Timer
from twistproxy.api.http_filter import FilterStatus
from twistproxy.filters.slow_response import SlowResponse
from twistproxy.filters.tools import FilterTools
from twistproxy.http.message import RequestHead
from twistproxy.model.http_filters import FaultSettings, RuntimeFraction
from twistproxy.observe import flags
from twistproxy.primitives.string_match import parse_integer

_ABORTS, _DELAYS, _OVERFLOW = "fault.aborts_injected", "fault.delays_injected", "fault.faults_overflow"
_SLOWED = "fault.response_rl_injected"
_ACTIVE = "fault.active_faults"
_NO_LIMIT = 2**62
#: Counters of the filters of one connection manager: the names of some come from requests.
_MAX_COUNTERS = 1000


class FaultFilter:
    """A share of the matching requests waits, is answered with an error, or both; a share of the responses is slow.

    The runtime may change shares, time and status; for requests with x-envoy-downstream-service-cluster it may do so by
    that cluster.
    """

    def __init__(
        self, settings: FaultSettings, overrides: tuple[FaultSettings, ...], tools: FilterTools
    ) -> None:
        self._settings = (*overrides, settings)[0]
        self._tools = tools
        self._counters = tools.counters
        tools.count(_ABORTS, _DELAYS, _OVERFLOW, _SLOWED)
        tools.gauges.setdefault(_ACTIVE, 0)

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> FilterStatus:
        if not self._applies(stream, head):
            return FilterStatus.CONTINUE
        if self._settings.rate_share is not None:
            self._slow(stream, head, self._settings.rate_share)
        delay = self._delay(stream, head)
        if delay:
            stream.flags |= flags.DI
            self._inject(stream, head, _DELAYS)
            self._tell(stream)
            stream.notes[self] = self._tools.clock.call_later(delay, self._delayed, stream)
            return FilterStatus.STOP_AND_WATERMARK
        if self._abort(stream):
            return FilterStatus.STOP
        return FilterStatus.CONTINUE

    def stream_ended(self, stream: Any) -> None:
        timer: Timer | None = stream.notes.pop(self, None)
        if timer is not None:
            timer.cancel()
        slowed: SlowResponse | None = stream.notes.pop((self, "rate"), None)
        if slowed is not None:
            slowed.end()
        if stream.notes.pop((self, "active"), False):
            self._tools.gauges[_ACTIVE] -= 1

    def _applies(self, stream: Any, head: RequestHead) -> bool:
        settings = self._settings
        most = _NO_LIMIT if settings.max_active is None else settings.max_active
        if self._tools.gauges[_ACTIVE] >= self._tools.runtime.get_integer(settings.max_active_key, most):
            self._counters[_OVERFLOW] += 1
            return False
        if settings.upstream_cluster and (
            stream.route is None or stream.route.cluster != settings.upstream_cluster
        ):
            return False
        if settings.nodes and head.get(b"x-envoy-downstream-service-node") not in settings.nodes:
            return False
        return all(matcher.matches(head, stream) for matcher in settings.headers)

    def _delayed(self, stream: Any) -> None:
        del stream.notes[self]
        if not self._abort(stream):
            stream.continue_decoding(self)

    def _delay(self, stream: Any, head: RequestHead) -> float:
        """Seconds to wait, 0 for not at all."""
        settings = self._settings
        share = settings.delay_share
        if share is None:
            return 0.0
        milliseconds = settings.delay_ms
        if milliseconds is None:
            given = _header(head, b"x-envoy-fault-delay-request")
            if given is None:
                return 0.0
            share = _asked_share(share, head, b"x-envoy-fault-delay-request-percentage")
            milliseconds = given
        ours, theirs = _keys(head, share.runtime_key, "delay.fixed_delay_percent")
        if not self._is_on(share, ours, stream) and not (theirs and self._is_on(share, theirs, stream)):
            return 0.0
        return self._by_runtime(head, settings.delay_key, "delay.fixed_duration_ms", milliseconds) / 1000

    def _abort(self, stream: Any) -> bool:
        """Answer with an error, if this request is to have one."""
        settings, head = self._settings, stream.head
        share = settings.abort_share
        status, grpc = settings.abort_status, settings.abort_grpc
        if status is None:
            status = _header(head, b"x-envoy-fault-abort-request")
            if status is None or not 200 <= status < 600:
                grpc = _header(head, b"x-envoy-fault-abort-grpc-request")
                if grpc is None:
                    return False
            share = _asked_share(share, head, b"x-envoy-fault-abort-request-percentage")
        ours, theirs = _keys(head, share.runtime_key, "abort.abort_percent")
        if not self._is_on(share, ours, stream) and not (theirs and self._is_on(share, theirs, stream)):
            return False
        if grpc is not None:
            status, grpc = 200, self._by_runtime(head, settings.grpc_key, "abort.grpc_status", grpc)
        else:
            status = self._by_runtime(head, settings.status_key, "abort.http_status", status or 0)
            if not 200 <= status < 600:
                return False
        self._inject(stream, head, _ABORTS)
        self._tell(stream)
        body = b"fault filter abort"
        stream.local_reply(status, body, flags.FI, "fault_filter_abort", grpc=-1 if grpc is None else grpc)
        return True

    def _slow(self, stream: Any, head: RequestHead, share: RuntimeFraction) -> None:
        """Have the response come slowly, if this request is to have such a one."""
        rate = self._settings.rate
        if rate is None:
            rate = _header(head, b"x-envoy-fault-throughput-response")
            share = _asked_share(share, head, b"x-envoy-fault-throughput-response-percentage")
        if rate and self._is_on(share, share.runtime_key, stream):
            self._inject(stream, head, _SLOWED)
            stream.notes[(self, "rate")] = SlowResponse(self, stream, rate * 1024, self._tools.clock)

    def _by_runtime(self, head: RequestHead, key: str, name: str, value: int) -> int:
        runtime = self._tools.runtime
        ours, theirs = _keys(head, key, name)
        return runtime.get_integer(theirs, runtime.get_integer(ours, value))

    def _tell(self, stream: Any) -> None:
        """Leave the metadata."""
        if stream.metadata is None:
            stream.metadata = {}
        stream.metadata[self._tools.name] = {
            **stream.metadata.get(self._tools.name, {}),
            **self._settings.metadata,
        }

    def _is_on(self, share: RuntimeFraction, key: str, stream: Any) -> bool:
        number = stream.context.random.getrandbits(62)
        return self._tools.runtime.feature_enabled(key, share.numerator, share.denominator, number)

    def _inject(self, stream: Any, head: RequestHead, counter: str) -> None:
        self._counters[counter] += 1
        cluster = head.get(b"x-envoy-downstream-service-cluster")
        if cluster and self._settings.cluster_stats:
            name = f"fault.{cluster.decode('latin-1')}.{counter.removeprefix('fault.')}"
            if name in self._counters or len(self._counters) < _MAX_COUNTERS:
                self._counters[name] = self._counters.get(name, 0) + 1
        if not stream.notes.get((self, "active")):
            stream.notes[(self, "active")] = True
            self._tools.gauges[_ACTIVE] += 1


class SlowingFaultFilter(FaultFilter):
    """One that slows responses down, too."""

    def encode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus:
        slowed: SlowResponse | None = stream.notes.get((self, "rate"))
        if slowed is None:
            return FilterStatus.CONTINUE
        slowed.expect()
        return FilterStatus.STOP_AND_WATERMARK


def make_fault_filter(
    settings: FaultSettings, overrides: tuple[FaultSettings, ...], tools: FilterTools
) -> FaultFilter:
    used = (*overrides, settings)[0]
    return (FaultFilter if used.rate_share is None else SlowingFaultFilter)(settings, overrides, tools)


def _header(head: RequestHead, name: bytes) -> int | None:
    """A header's number, None without one."""
    value = head.get(name)
    number = None if value is None else parse_integer(value)
    return number if number is not None and number >= 0 else None


def _asked_share(share: RuntimeFraction, head: RequestHead, name: bytes) -> RuntimeFraction:
    """The share that a request asks for, at most the one that is configured."""
    asked = _header(head, name)
    if asked is None:
        return share
    return RuntimeFraction(min(asked, share.numerator), share.denominator, share.runtime_key)


def _keys(head: RequestHead, key: str, name: str) -> tuple[str, str]:
    """The runtime key, and that of the downstream cluster; "" without one."""
    cluster = head.get(b"x-envoy-downstream-service-cluster")
    return key, f"fault.http.{cluster.decode('latin-1')}.{name}" if cluster else ""
