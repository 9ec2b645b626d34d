"""Outlier detection of one cluster: who is ejected, and who comes back (Envoy: arch_overview/upstream/outlier).

Workers count, and say when there were enough failures in a row (`upstream.outlier`); here it is decided what follows,
and at each interval the rates of all hosts are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from twistproxy.api.clock import Clock, Timer
from twistproxy.discovery.outlier_hosts import NO_RATE, WatchedHost
from twistproxy.discovery.outlier_log import EventLog
from twistproxy.discovery.source import Random
from twistproxy.model.address import Address
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import FAILED_OUTLIER_CHECK
from twistproxy.model.outlier import OutlierSettings
from twistproxy.primitives.board import HostRows
from twistproxy.primitives.runtime import RuntimeValues

_RUNTIME = "outlier_detection."


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of outlier: its name in the event log, in statistics, and the field that says whether it is enforced."""

    name: str
    stat: str
    enforcing: str


#: What is counted in a row, by the numbers of `model.outlier`: (kind, field with the threshold).
CONSECUTIVE = (
    (Kind("CONSECUTIVE_5XX", "consecutive_5xx", "enforcing_consecutive_5xx"), "consecutive_5xx"),
    (
        Kind(
            "CONSECUTIVE_GATEWAY_FAILURE",
            "consecutive_gateway_failure",
            "enforcing_consecutive_gateway_failure",
        ),
        "consecutive_gateway_failure",
    ),
    (
        Kind(
            "CONSECUTIVE_LOCAL_ORIGIN_FAILURE",
            "consecutive_local_origin_failure",
            "enforcing_consecutive_local_origin_failure",
        ),
        "consecutive_local_origin_failure",
    ),
)
_RATE = Kind("SUCCESS_RATE", "success_rate", "enforcing_success_rate")
_LOCAL_RATE = Kind(
    "SUCCESS_RATE_LOCAL_ORIGIN", "local_origin_success_rate", "enforcing_local_origin_success_rate"
)
_SHARE = Kind("FAILURE_PERCENTAGE", "failure_percentage", "enforcing_failure_percentage")
_LOCAL_SHARE = Kind(
    "FAILURE_PERCENTAGE_LOCAL_ORIGIN",
    "local_origin_failure_percentage",
    "enforcing_failure_percentage_local_origin",
)
_KINDS = (*(kind for kind, _ in CONSECUTIVE), _RATE, _LOCAL_RATE, _SHARE, _LOCAL_SHARE)
_COUNTERS = (
    *(f"ejections_detected_{kind.stat}" for kind in _KINDS),
    *(f"ejections_enforced_{kind.stat}" for kind in _KINDS),
    # Of detect_degraded_hosts, which is not there.
    "ejections_detected_degradation",
    "ejections_enforced_total",
    "ejections_overflow",
    # Deprecated by Envoy.
    "ejections_consecutive_5xx",
    "ejections_success_rate",
    "ejections_total",
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Of all hosts with enough requests: their average success rate, and below which they are outliers."""

    average: float = NO_RATE
    threshold: float = NO_RATE


@dataclass(frozen=True, slots=True)
class DetectorTools:
    """What all detectors share.

    set_flags  changes the health flags of endpoints of a cluster (`EndpointStore.set_flags`)
    warn       called with a line for the log
    """

    clock: Clock
    random: Random
    runtime: RuntimeValues
    rows: HostRows
    log: EventLog
    set_flags: Callable[[str, Mapping[Address, int], int], None]
    warn: Callable[[str], None]


class Detector:
    """The hosts of one cluster.  It is told of them by `add` and `remove`, and sweeps at each interval."""

    def __init__(self, cluster: str, settings: OutlierSettings, tools: DetectorTools) -> None:
        self.cluster = cluster
        self.settings = settings
        self._tools = tools
        self._timer: Timer | None = None
        self.hosts: dict[Address, WatchedHost] = {}
        self._by_row: dict[int, WatchedHost] = {}
        self.counters = dict.fromkeys(_COUNTERS, 0)
        self.rates = self.local_rates = Rates()
        self._flags: dict[Address, int] = {}

    # ---- life

    def start(self) -> None:
        """Sweep from now on."""
        self._arm()

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def forget(self) -> None:
        """The cluster is gone, or has no outlier detection any more."""
        self.stop()
        for address in tuple(self.hosts):
            self.remove(address)

    def use(self, settings: OutlierSettings) -> None:
        """Other settings from now on; who is ejected stays so."""
        if settings != self.settings:
            self.settings = settings
            if self._timer is not None:
                self._timer.cancel()
                self._arm()

    def _arm(self) -> None:
        self._timer = self._tools.clock.call_later(self._number("interval_ms", "interval") / 1000, self._tick)

    def _tick(self) -> None:
        self._arm()
        self.sweep()

    def add(self, endpoint: Endpoint) -> Endpoint:
        """The cluster has this endpoint.  Returns it with row and flag."""
        address = endpoint.address
        host = self.hosts.get(address)
        if host is None:
            rows = self._tools.rows
            row = rows.row(self.cluster, str(address))
            if row < 0:
                self._tools.warn(f"{self.cluster}: no place to count what {address} answers")
                return endpoint
            host = self.hosts[address] = WatchedHost(address, row, rows.board)
            self._by_row[row] = host
        flags = endpoint.flags & ~FAILED_OUTLIER_CHECK
        if host.ejected:
            flags |= FAILED_OUTLIER_CHECK
        return replace(endpoint, flags=flags, row=host.row)

    def remove(self, address: Address) -> None:
        """The cluster does not have it any more."""
        host = self.hosts.pop(address, None)
        if host is not None:
            del self._by_row[host.row]
            self._tools.rows.release(self.cluster, str(address))

    # ---- what workers say

    def reached(self, row: int, number: int, total: int) -> None:
        """A worker has seen as many failures in a row as `CONSECUTIVE[number]` allows.  `total`: of all such failures;
        two workers may have seen the same."""
        host = self._by_row.get(row)
        kind, field = CONSECUTIVE[number]
        if host is None or host.ejected or not host.is_news(number, total, self._number(field)):
            return
        self._detected(kind)
        self._eject(host, kind, {"eject_consecutive_event": {}})
        if number == 0:
            self.counters["ejections_consecutive_5xx"] += 1
        self._publish()

    def check_passed(self, address: Address) -> None:
        """An active health check of a host has succeeded, and it is healthy."""
        host = self.hosts.get(address)
        if host is not None and host.ejected and self.settings.uneject_when_checked:
            self._uneject(host)
            self._publish()

    # ---- sweeps

    def sweep(self) -> None:
        """The interval is over."""
        now = self._now()
        base = self._number("base_ejection_time_ms", "base_ejection_time")
        longest = self._number("max_ejection_time_ms", "max_ejection_time")
        for host in self.hosts.values():
            if host.ejected and min(base * host.multiplier, longest) + host.jitter <= now - host.changed_at:
                self._uneject(host)
            host.turn()
        self.rates = self._compare(False)
        self.local_rates = self._compare(True)
        interval = self._number("interval_ms", "interval")
        for host in self.hosts.values():
            if not host.ejected and host.changed_at and now - host.changed_at >= interval and host.multiplier:
                host.multiplier -= 1
                host.save()
        self._publish()

    def _compare(self, local: bool) -> Rates:
        """Find the outliers by their success rates."""
        rate_hosts = self._number("success_rate_minimum_hosts")
        rate_volume = self._number("success_rate_request_volume")
        share_hosts = self._number("failure_percentage_minimum_hosts")
        share_volume = self._number("failure_percentage_request_volume")
        if len(self.hosts) < rate_hosts and len(self.hosts) < share_hosts:
            return Rates()
        for_rate: list[tuple[WatchedHost, float]] = []
        for_share: list[tuple[WatchedHost, float]] = []
        for host in self.hosts.values():
            successes, requests = host.last_local if local else host.last_external
            if host.ejected or not requests:
                continue
            rate = successes * 100.0 / requests
            if requests >= min(rate_volume, share_volume):
                (host.local if local else host.external).rate = rate
            if requests >= rate_volume:
                for_rate.append((host, rate))
            if requests >= share_volume:
                for_share.append((host, rate))
        rates = Rates()
        if for_rate and len(for_rate) >= rate_hosts:
            rates = self._rates([rate for _, rate in for_rate])
            self._eject_below(rates, for_rate, _LOCAL_RATE if local else _RATE)
        if for_share and len(for_share) >= share_hosts:
            self._eject_failing(for_share, _LOCAL_SHARE if local else _SHARE)
        return rates

    def _rates(self, found: list[float]) -> Rates:
        average = sum(found) / len(found)
        variance = sum((rate - average) ** 2 for rate in found) / len(found)
        factor = self._number("success_rate_stdev_factor") / 1000
        return Rates(average, average - factor * variance**0.5)

    def _eject_below(self, rates: Rates, found: list[tuple[WatchedHost, float]], kind: Kind) -> None:
        for host, rate in found:
            if rate < rates.threshold:
                self.counters["ejections_success_rate"] += 1
                self._detected(kind)
                numbers = {
                    "host_success_rate": rate,
                    "cluster_average_success_rate": rates.average,
                    "cluster_success_rate_ejection_threshold": rates.threshold,
                }
                whole = {name: max(0, int(value)) for name, value in numbers.items()}
                self._eject(host, kind, {"eject_success_rate_event": whole})

    def _eject_failing(self, found: list[tuple[WatchedHost, float]], kind: Kind) -> None:
        most = self._number("failure_percentage_threshold")
        for host, rate in found:
            if 100.0 - rate >= most:
                self._detected(kind)
                self._eject(host, kind, {"eject_failure_percentage_event": {"host_success_rate": int(rate)}})

    # ---- ejection

    def _detected(self, kind: Kind) -> None:
        self.counters[f"ejections_detected_{kind.stat}"] += 1

    def _eject(self, host: WatchedHost, kind: Kind, details: dict[str, Any]) -> None:
        """Eject a host, if that is enforced and not too many are ejected.  One that is ejected stays so: Envoy counts
        one that is an outlier in two ways twice."""
        if host.ejected:
            return
        active = self.active
        allowed = 100.0 * (active + 1) / len(self.hosts) <= min(100, self._number("max_ejection_percent"))
        if not allowed and not (self.settings.always_eject_one_host and not active):
            self.counters["ejections_overflow"] += 1
            return
        if kind in (CONSECUTIVE[0][0], _RATE):
            self.counters["ejections_total"] += 1
        seconds = (self._now() - host.changed_at) // 1000 if host.changed_at else None
        enforced = self._happens(f"{_RUNTIME}{kind.enforcing}", getattr(self.settings, kind.enforcing))
        if enforced:
            self.counters["ejections_enforced_total"] += 1
            self.counters[f"ejections_enforced_{kind.stat}"] += 1
            self._lengthen(host)
            jitter = self._number("max_ejection_time_jitter_ms", "max_ejection_time_jitter")
            host.eject(self._now(), int(self._tools.random() * (jitter + 1)))
            self._flags[host.address] = FAILED_OUTLIER_CHECK
        self._tools.log.event(
            "EJECT",
            self.cluster,
            str(host.address),
            kind=kind.name,
            ejections=host.ejections,
            enforced=enforced,
            seconds=seconds,
            details=details,
        )

    def _lengthen(self, host: WatchedHost) -> None:
        """Each ejection is longer than the last."""
        base = self._number("base_ejection_time_ms", "base_ejection_time")
        if host.multiplier * base < self._number("max_ejection_time_ms", "max_ejection_time") + base:
            host.multiplier += 1

    def _uneject(self, host: WatchedHost) -> None:
        now = self._now()
        seconds = (now - host.changed_at) // 1000
        host.uneject(now)
        self._flags[host.address] = 0
        self._tools.log.event(
            "UNEJECT", self.cluster, str(host.address), ejections=host.ejections, seconds=seconds
        )

    def _publish(self) -> None:
        """One publication for all that has changed."""
        if self._flags:
            flags, self._flags = self._flags, {}
            self._tools.set_flags(self.cluster, flags, FAILED_OUTLIER_CHECK)

    # ---- what is seen from outside

    @property
    def active(self) -> int:
        """How many hosts are ejected."""
        return sum(host.ejected for host in self.hosts.values())

    def describe(self) -> dict[str, Any]:
        """What `/clusters` shows."""
        return {
            "success_rate_average": self.rates.average,
            "success_rate_ejection_threshold": self.rates.threshold,
            "local_origin_success_rate_average": self.local_rates.average,
            "local_origin_success_rate_ejection_threshold": self.local_rates.threshold,
            "hosts": {
                str(address): [host.external.rate, host.local.rate] for address, host in self.hosts.items()
            },
        }

    # ---- helpers

    def _now(self) -> int:
        return int(self._tools.clock.monotonic() * 1000)

    def _number(self, key: str, field: str = "") -> int:
        """A number that the runtime may change; `field` where it is not called as in the runtime."""
        default: int = getattr(self.settings, field or key)
        return self._tools.runtime.get_integer(_RUNTIME + key, default)

    def _happens(self, key: str, percent: int) -> bool:
        return self._tools.runtime.feature_enabled(
            key, percent, 100, int(self._tools.random() * 1_000_000_000)
        )
