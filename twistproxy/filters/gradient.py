"""The limit of concurrent requests that follows their latency (Envoy: configuration/http/http_filters/
adaptive_concurrency_filter, GradientController).

Its state lies on the board: all workers count into it and are held to the same limit.  What is to be done at a time,
one of them does, whoever comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from math import ceil, sqrt
from random import Random

from twistproxy.api.clock import Clock, Timer
from twistproxy.model.guards import GradientSettings, gradient_key
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.board import WorkerBoard
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.primitives.shared_block import SharedBlock

#: Cells of the state that is common.  DEFERRED: the limit that comes back when measuring is over; 0: nothing is measured.
_PERIOD, _LIMIT, _DEFERRED, _CONSECUTIVE, _GRADIENT, _BURST, _MIN_RTT, _SAMPLE_RTT = range(8)
#: And of its times, in microseconds: since when one measures, when the limit is calculated, when one measures again.
_EPOCH, _UPDATE_AT, _MEASURE_AT = range(3)

_KEY = "adaptive_concurrency.gradient_controller."
_MICROSECONDS = 1e6
#: After so many updates at the least limit Envoy measures anew.
_MOST_AT_LEAST = 5
#: Seconds between two looks at what other workers do, while nothing of our own is due.
_LONGEST_WAIT = 1.0
_UINT32 = 0xFFFFFFFF

NAMES = (
    "burst_queue_size",
    "concurrency_limit",
    "gradient",
    "min_rtt_calculation_active",
    "min_rtt_msecs",
    "sample_rtt_msecs",
)


class GradientController:
    """One worker's part of it.  `stop` when it is used no more."""

    def __init__(
        self,
        settings: GradientSettings,
        block: SharedBlock,
        clock: Clock,
        runtime: RuntimeValues,
        random: Random,
    ) -> None:
        self._settings = settings
        self.block = self._block = block
        self._state = block.state
        self._times = block.times
        self._monotonic = clock.monotonic
        self._call_later: Callable[..., Timer] = clock.call_later
        self._runtime = runtime
        self._random = random
        self._timer: Timer | None = None
        self._stopped = False
        self._measures = settings.fixed_rtt < 0.001

    def start(self) -> None:
        """Begin, or join those who have begun."""
        if not self._state[_PERIOD] and self._block.lock():
            if not self._state[_PERIOD]:
                self._begin()
            self._block.unlock()
        self._wait()

    def stop(self) -> None:
        self._stopped = True
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- requests

    def admit(self) -> bool:
        """Whether one more request may go on.  If so, `done` or `cancelled` is to follow."""
        if self._block.outstanding() >= self._state[_LIMIT]:
            return False
        self._block.add_outstanding(1)
        return True

    def cancelled(self) -> None:
        """A request ended before its response."""
        self._block.add_outstanding(-1)

    def done(self, since: float) -> None:
        """A request has its response, having begun at `since`."""
        block, state = self._block, self._state
        block.add_outstanding(-1)
        begun = int(since * _MICROSECONDS)
        if begun < self._times[_EPOCH]:
            return  # it began before what is measured now
        block.record(self._now() - begun, state[_PERIOD])
        if state[_DEFERRED] and self._enough() and block.lock():
            if state[_DEFERRED] and self._enough():
                self._measured()
            block.unlock()
            self._wait()

    def _enough(self) -> bool:
        wanted = self._integer("min_rtt_aggregate_request_count", self._settings.rtt_requests)
        return self._block.samples(self._state[_PERIOD]) >= wanted

    # ---- with the lock

    def _begin(self) -> None:
        state = self._state
        least = self._least()
        state[_LIMIT] = least
        if self._measures:
            self._measure()
        else:
            state[_MIN_RTT] = int(self._settings.fixed_rtt * _MICROSECONDS)
        self._times[_UPDATE_AT] = self._now() + self._update_interval()
        state[_PERIOD] += 1

    def _measure(self) -> None:
        """Hold the limit at its least, and measure how long a request takes then."""
        state = self._state
        state[_DEFERRED] = state[_LIMIT]
        self._set_limit(self._least())
        self._times[_EPOCH] = self._now()
        self._times[_MEASURE_AT] = 0
        state[_PERIOD] += 1

    def _measured(self) -> None:
        state = self._state
        state[_MIN_RTT] = self._quantile()
        deferred = state[_DEFERRED]
        self._set_limit(deferred)
        state[_DEFERRED] = 0
        settings = self._settings
        interval = self._integer("min_rtt_calc_interval_ms", int(settings.rtt_interval * 1000))
        spread = ceil(interval * self._share("jitter", settings.jitter))
        if spread:
            interval += self._random.getrandbits(62) % spread
        now = self._now()
        self._times[_MEASURE_AT] = now + interval * 1000
        self._times[_UPDATE_AT] = now + self._update_interval()

    def _update(self) -> None:
        state = self._state
        if self._block.samples(state[_PERIOD]):
            state[_SAMPLE_RTT] = self._quantile()
            self._set_limit(self._new_limit())
        self._times[_UPDATE_AT] = self._now() + self._update_interval()

    def _quantile(self) -> int:
        """Of what was measured since the last call, in microseconds."""
        state = self._state
        share = self._share("sample_aggregate_percentile", self._settings.percentile)
        found = int(self._block.quantile(share, state[_PERIOD]))
        state[_PERIOD] += 1
        return found

    def _new_limit(self) -> int:
        state, settings = self._state, self._settings
        wanted = state[_MIN_RTT] * (1 + self._share("min_rtt_buffer", settings.buffer))
        found = state[_SAMPLE_RTT]
        gradient = max(0.5, min(2.0, wanted / found if found else 2.0))
        state[_GRADIENT] = int(gradient * 1000)
        limit = state[_LIMIT] * gradient
        burst = sqrt(limit)
        state[_BURST] = int(burst)
        most = self._integer("max_concurrency_limit", settings.max_limit)
        return max(self._least(), min(most, int(limit + burst)))

    def _set_limit(self, limit: int) -> None:
        state = self._state
        least = self._least()
        if not state[_DEFERRED] and state[_LIMIT] == limit == least:
            state[_CONSECUTIVE] += 1
        else:
            state[_CONSECUTIVE] = 0
        state[_LIMIT] = limit
        if self._measures and state[_CONSECUTIVE] >= _MOST_AT_LEAST:
            # It may be that what was measured is wrong; and one need not wait until there are few requests.
            self._times[_MEASURE_AT] = self._now()

    # ---- time

    def _wait(self) -> None:
        self._cancel()
        if self._stopped:
            return
        state, times = self._state, self._times
        wait = _LONGEST_WAIT
        if not state[_DEFERRED]:
            due = times[_UPDATE_AT]
            if times[_MEASURE_AT]:
                due = min(due, times[_MEASURE_AT])
            wait = min(wait, max(0.001, (due - self._now()) / _MICROSECONDS))
        self._timer = self._call_later(wait, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._due() and self._block.lock():
            if self._due():
                now = self._now()
                if 0 < self._times[_MEASURE_AT] <= now:
                    self._measure()
                else:
                    self._update()
            self._block.unlock()
        self._wait()

    def _due(self) -> bool:
        if self._state[_DEFERRED]:
            return False
        now, times = self._now(), self._times
        return bool(times[_UPDATE_AT] <= now or 0 < times[_MEASURE_AT] <= now)

    def _now(self) -> int:
        return int(self._monotonic() * _MICROSECONDS)

    # ---- settings, as the runtime has them

    def _integer(self, key: str, default: int) -> int:
        return self._runtime.get_integer(_KEY + key, default) & _UINT32

    def _least(self) -> int:
        return self._integer("min_concurrency", self._settings.min_limit)

    def _share(self, key: str, percent: float) -> float:
        return max(0.0, min(100.0, self._runtime.get_double(_KEY + key, percent))) / 100

    def _update_interval(self) -> int:
        """Microseconds."""
        default = int(self._settings.update_interval * 1000)
        return 1000 * max(1, self._runtime.get_integer(_KEY + "sample_rtt_calc_interval_ms", default))

    def values(self) -> tuple[int, ...]:
        """The gauges of `NAMES`."""
        state = self._state
        return (
            state[_BURST],
            state[_LIMIT],
            state[_GRADIENT],
            int(state[_DEFERRED] > 0),
            state[_MIN_RTT] // 1000,
            state[_SAMPLE_RTT] // 1000,
        )


class Glimpse(GradientController):
    """Looks at what a controller would do, and changes nothing."""

    def start(self) -> None:
        """Others do."""

    def admit(self) -> bool:
        return not self._state[_PERIOD] or self._block.outstanding() < self._state[_LIMIT]

    def done(self, since: float) -> None:
        """Nothing was begun."""

    def cancelled(self) -> None:
        """The same."""


class GradientControllers:
    """All controllers of a worker, by their keys (`model.guards.gradient_key`)."""

    def __init__(self, clock: Clock, runtime: RuntimeValues, random: Random, board: WorkerBoard) -> None:
        self._clock = clock
        self._runtime = runtime
        self._random = random
        self._board = board
        self._found: dict[str, tuple[str, GradientController]] = {}

    def of(self, listener: str, stat_prefix: str) -> Callable[[GradientSettings], GradientController]:
        """Gives the controllers of one chain of filters, in their order."""
        numbers = count()

        def make(settings: GradientSettings) -> GradientController:
            key = gradient_key(listener, next(numbers), settings)
            found = self._found.get(key)
            if found is None:
                controller = self._make(GradientController, key, settings)
                controller.start()
                self._found[key] = found = (stat_prefix, controller)
            return found[1]

        return make

    def glimpses(self, listener: str) -> Callable[[GradientSettings], GradientController]:
        """The same, only to look."""
        numbers = count()
        return lambda settings: self._make(Glimpse, gradient_key(listener, next(numbers), settings), settings)

    def _make(
        self, kind: type[GradientController], key: str, settings: GradientSettings
    ) -> GradientController:
        known = self._found.get(key)
        block = (known[1].block if known else self._board.block(key)) or SharedBlock.alone()
        return kind(settings, block, self._clock, self._runtime, self._random)

    def keep_only(self, keys: Iterable[str]) -> None:
        """Those that are configured no more have nothing to do but to let what is under way end."""
        for key in self._found.keys() - set(keys):
            self._found.pop(key)[1].stop()

    def collect(self, out: Snapshot) -> None:
        for prefix, controller in self._found.values():
            for name, value in zip(NAMES, controller.values()):
                out.gauges[f"http.{prefix}.adaptive_concurrency.gradient_controller.{name}"] = value
