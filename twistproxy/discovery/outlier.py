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
from twistproxy.discovery.outlier_kinds import (
    CONSECUTIVE,
    COUNTERS,
    LOCAL_RATE,
    LOCAL_SHARE,
    RATE,
    SHARE,
    Kind,
)
from twistproxy.discovery.outlier_log import EventLog
from twistproxy.discovery.source import Random
from twistproxy.model.address import Address
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import DEGRADED_OUTLIER_DETECTION, FAILED_OUTLIER_CHECK
from twistproxy.model.outlier import OutlierSettings
from twistproxy.primitives.board import HostRows
from twistproxy.primitives.runtime import RuntimeValues

_RUNTIME = "outlier_detection."
#: The flags that are ours to set.
FLAGS = FAILED_OUTLIER_CHECK | DEGRADED_OUTLIER_DETECTION


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
        #: how many hosts are ejected
        self.active = 0
        self._by_row: dict[int, WatchedHost] = {}
        self.counters = dict.fromkeys(COUNTERS, 0)
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
            self.active += host.ejected
        return replace(endpoint, flags=endpoint.flags & ~FLAGS | host.flags, row=host.row)

    def remove(self, address: Address) -> None:
        """The cluster does not have it any more."""
        host = self.hosts.pop(address, None)
        if host is not None:
            del self._by_row[host.row]
            self.active -= host.ejected
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

    def degraded(self, row: int) -> None:
        """A host says of itself that it is degraded: it gets requests only where others do not suffice, for as long as
        an ejection would take.  Both are independent of each other, as in Envoy."""
        host = self._by_row.get(row)
        if host is None or host.degraded or not self.settings.detect_degraded_hosts:
            return
        self.counters["ejections_detected_degradation"] += 1
        now = self._now()
        host.degradation = self._longer(host.degradation)
        host.degraded, host.degraded_at, host.degraded_jitter = True, now, self._jitter()
        self._flags[host.address] = host.flags
        self._log_ejection(host, "DEGRADED", True, {"eject_consecutive_event": {}})
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
            if host.ejected and min(base * host.multiplier, longest) + host.jitter <= now - host.ejected_at:
                self._uneject(host)
            degraded = now - host.degraded_at
            if host.degraded and min(base * host.degradation, longest) + host.degraded_jitter <= degraded:
                host.degraded, host.degraded_at = False, now
                self._flags[host.address] = host.flags
                self._log_return(host)
            host.turn(self.settings.split)
        self.rates = self._compare(False)
        self.local_rates = self._compare(True) if self.settings.split else Rates()
        interval = self._number("interval_ms", "interval")
        for host in self.hosts.values():
            if not host.ejected and host.back_at and now - host.back_at >= interval and host.multiplier:
                host.multiplier -= 1
                host.save()
            if not host.degraded and host.degradation and now - host.degraded_at >= interval:
                host.degradation -= 1
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
            self._eject_below(rates, for_rate, LOCAL_RATE if local else RATE)
        if for_share and len(for_share) >= share_hosts:
            self._eject_failing(for_share, LOCAL_SHARE if local else SHARE)
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
        if kind in (CONSECUTIVE[0][0], RATE):
            self.counters["ejections_total"] += 1
        enforced = self._happens(f"{_RUNTIME}{kind.enforcing}", getattr(self.settings, kind.enforcing))
        if enforced:
            self.counters["ejections_enforced_total"] += 1
            self.counters[f"ejections_enforced_{kind.stat}"] += 1
            host.multiplier = self._longer(host.multiplier)
            host.eject(self._now(), self._jitter())
            self.active += 1
            self._flags[host.address] = host.flags
        self._log_ejection(host, kind.name, enforced, details)

    def _longer(self, multiplier: int) -> int:
        """Each ejection is longer than the last."""
        base = self._number("base_ejection_time_ms", "base_ejection_time")
        longest = self._number("max_ejection_time_ms", "max_ejection_time")
        return multiplier + (multiplier * base < longest + base)

    def _jitter(self) -> int:
        most = self._number("max_ejection_time_jitter_ms", "max_ejection_time_jitter")
        return int(self._tools.random() * (most + 1))

    def _uneject(self, host: WatchedHost) -> None:
        host.uneject(self._now())
        self.active -= 1
        self._flags[host.address] = host.flags
        self._log_return(host)

    def _log_ejection(self, host: WatchedHost, kind: str, enforced: bool, details: dict[str, Any]) -> None:
        self._tools.log.event(
            "EJECT",
            self.cluster,
            str(host.address),
            kind=kind,
            ejections=host.ejections,
            enforced=enforced,
            seconds=self._seconds_since(host.back_at),
            details=details,
        )

    def _log_return(self, host: WatchedHost) -> None:
        self._tools.log.event(
            "UNEJECT",
            self.cluster,
            str(host.address),
            ejections=host.ejections,
            seconds=self._seconds_since(host.ejected_at),
        )

    def _seconds_since(self, moment: int) -> int | None:
        return (self._now() - moment) // 1000 if moment else None

    def _publish(self) -> None:
        """One publication for all that has changed."""
        if self._flags:
            flags, self._flags = self._flags, {}
            self._tools.set_flags(self.cluster, flags, FLAGS)

    # ---- what is seen from outside

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
