"""Refuses a share of the requests while too many of them fail (Envoy: configuration/http/http_filters/
admission_control_filter)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from twistproxy.api.http_filter import FilterStatus
from twistproxy.filters.tools import FilterTools
from twistproxy.http.grpc import is_grpc
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.guards import AdmissionControlSettings, RuntimeNumber
from twistproxy.primitives.string_match import parse_integer

_PREFIX = "admission_control."
_REJECTED, _SUCCESS, _FAILURE = _PREFIX + "rq_rejected", _PREFIX + "rq_success", _PREFIX + "rq_failure"
#: Seconds for which requests are counted together.
_GRANULARITY = 1.0
#: In so many parts Envoy divides a probability.
_ACCURACY = 10_000
_MOST_UINT32 = 0xFFFFFFFF
#: What a stream's notes say: it is not counted, or its trailers tell how it went.
_UNCOUNTED, _IN_TRAILERS = 1, 2


class RequestWindow:
    """How many requests there were in the last `seconds`, and how many of them succeeded."""

    __slots__ = ("_buckets", "_monotonic", "_seconds", "requests", "successes")

    def __init__(self, seconds: int, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._buckets: deque[list[float]] = deque()  # when it began, requests, successes
        self.requests = self.successes = 0

    def average(self) -> int:
        """Requests per second, as it was when the window was last looked at."""
        if not self.requests:
            return 0
        age = int(self._monotonic() - self._buckets[0][0])
        return self.requests // max(self._seconds, age)

    def refresh(self) -> None:
        """Forget what is too old."""
        now = self._monotonic()
        buckets = self._buckets
        while buckets and now - buckets[0][0] >= self._seconds:
            _, requests, successes = buckets.popleft()
            self.requests -= int(requests)
            self.successes -= int(successes)
        if not buckets or now - buckets[-1][0] >= _GRANULARITY:
            buckets.append([now, 0, 0])

    def copy(self) -> RequestWindow:
        """The same, to be tried out."""
        other = RequestWindow(self._seconds, self._monotonic)
        other._buckets.extend(list(bucket) for bucket in self._buckets)
        other.requests, other.successes = self.requests, self.successes
        return other

    def record(self, success: bool) -> None:
        self.refresh()
        newest = self._buckets[-1]
        newest[1] += 1
        newest[2] += success
        self.requests += 1
        self.successes += success


class RequestWindows:
    """Those of all filters of a worker, by listener and number in the chain: they live as long as their filters."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._found: dict[tuple[str, int], RequestWindow] = {}

    def of(self, listener: str) -> Callable[[int], RequestWindow]:
        """Makes the windows of one chain, of so many seconds each."""
        numbers = count()

        def make(seconds: int) -> RequestWindow:
            window = self._found[listener, next(numbers)] = RequestWindow(seconds, self._monotonic)
            return window

        return make

    def copies(self, listener: str) -> Callable[[int], RequestWindow]:
        """The same, to be tried out."""
        numbers = count()
        return lambda seconds: self._found[listener, next(numbers)].copy()


class AdmissionControlFilter:
    """Each worker decides by what it has seen itself, as Envoy's do."""

    def __init__(
        self,
        settings: AdmissionControlSettings,
        overrides: tuple[AdmissionControlSettings, ...],
        tools: FilterTools,
    ) -> None:
        self._settings = settings
        self._runtime = tools.runtime
        self._counters = tools.counters
        tools.count(_REJECTED, _SUCCESS, _FAILURE)
        self._window: RequestWindow = tools.window(settings.window)

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> FilterStatus:
        enabled = self._settings.enabled
        if stream.health_check or not self._runtime.get_boolean(enabled.runtime_key, enabled.value):
            stream.notes[self] = _UNCOUNTED
            return FilterStatus.CONTINUE
        threshold = self._settings.rps_threshold
        least = self._runtime.get_integer(threshold.runtime_key, int(threshold.value))
        if least > _MOST_UINT32:
            least = int(threshold.value)
        if self._window.average() < least:
            return FilterStatus.CONTINUE
        self._window.refresh()
        if self.probability() * _ACCURACY > stream.context.random.getrandbits(62) % _ACCURACY:
            stream.notes[self] = _UNCOUNTED
            self._counters[_REJECTED] += 1
            stream.local_reply(503, b"", 0, "denied_by_admission_control")
            return FilterStatus.STOP
        return FilterStatus.CONTINUE

    def encode_headers(self, stream: Any, head: ResponseHead, end_stream: bool) -> FilterStatus:
        if stream.notes.get(self) == _UNCOUNTED:
            return FilterStatus.CONTINUE
        settings = self._settings
        if b"grpc-status" in head.index if end_stream else head.status == 200 and is_grpc(head):
            status = head.get(b"grpc-status")
            if status is None:
                stream.notes[self] = _IN_TRAILERS
                return FilterStatus.CONTINUE
            success = parse_integer(status) in settings.grpc_success
        else:
            success = any(start <= head.status < end for start, end in settings.http_success)
        self._record(success)
        return FilterStatus.CONTINUE

    def encode_trailers(self, stream: Any, trailers: HeaderMap) -> FilterStatus:
        if stream.notes.get(self) == _IN_TRAILERS:
            status = trailers.get(b"grpc-status")
            self._record(status is not None and parse_integer(status) in self._settings.grpc_success)
        return FilterStatus.CONTINUE

    def probability(self) -> float:
        """Of a request to be refused; at most 1, and not above 0 where enough of them succeed."""
        settings, window = self._settings, self._window
        wanted = min(self._percent(settings.sr_threshold), 1.0)
        if not wanted:
            return 0.0
        probability = (window.requests - window.successes / wanted) / (window.requests + 1)
        if probability <= 0:
            return 0.0
        number = settings.aggression
        aggression = max(1.0, self._runtime.get_double(number.runtime_key, number.value))
        return min(float(probability ** (1 / aggression)), self._percent(settings.max_rejection))

    def _percent(self, number: RuntimeNumber) -> float:
        value = self._runtime.get_double(number.runtime_key, number.value)
        return (value if 0 <= value <= 100 else number.value) / 100

    def _record(self, success: bool) -> None:
        self._window.record(success)
        self._counters[_SUCCESS if success else _FAILURE] += 1
