"""Outlier detection of all clusters that have it: one `Detector` each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from twistproxy.api.clock import Clock
from twistproxy.discovery.outlier import FLAGS, Detector, DetectorTools
from twistproxy.discovery.outlier_log import EventLog
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.discovery.source import Random
from twistproxy.ipc.frame import Message
from twistproxy.model.address import Address
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.outlier import DEGRADED, OutlierSettings
from twistproxy.primitives.board import HostRows
from twistproxy.primitives.runtime import RuntimeValues


@dataclass(frozen=True, slots=True)
class OutlierPlan:
    """What a configuration says of outlier detection.

    clusters    settings by the names of the clusters that have it
    stat_names  what clusters are called in statistics, where that is not their name
    """

    clusters: Mapping[str, OutlierSettings]
    stat_names: Mapping[str, str]

    @classmethod
    def of(cls, clusters: Iterable[ClusterSettings]) -> OutlierPlan:
        """`clusters`: all there are."""
        found = [cluster for cluster in clusters if cluster.outlier is not None]
        return cls(
            {cluster.name: cluster.outlier for cluster in found if cluster.outlier is not None},
            {cluster.name: cluster.stat_name for cluster in found if cluster.stat_name},
        )


class OutlierDetection:
    """Follows the endpoints of the store (`EndpointWatcher`), and ejects and brings back some of them."""

    def __init__(
        self,
        clock: Clock,
        random: Random,
        rows: HostRows,
        store: EndpointStore,
        runtime: RuntimeValues,
        warn: Callable[[str], None],
    ) -> None:
        self._store = store
        self._plan = OutlierPlan({}, {})
        self.log = EventLog(clock.wall)
        self._tools = DetectorTools(clock, random, runtime, rows, self.log, store.set_flags, warn)
        self._detectors: dict[str, Detector] = {}

    def configure(self, plan: OutlierPlan) -> None:
        """From now on so.  Hosts that are ejected stay so, unless their cluster has no outlier detection any more."""
        self._plan = plan
        for cluster in self._detectors.keys() - plan.clusters.keys():
            self._detectors.pop(cluster).forget()
            self._store.dress_again(cluster, _undressed)
        for cluster, settings in plan.clusters.items():
            known = self._detectors.get(cluster)
            if known is not None:
                known.use(settings)
                continue
            detector = self._detectors[cluster] = Detector(cluster, settings, self._tools)
            detector.start()
            self._store.dress_again(cluster, detector.add)

    def stop(self) -> None:
        """Sweep no more.  What is known stays on the board, for another process that may come."""
        for detector in self._detectors.values():
            detector.stop()

    def endpoint_added(self, cluster: str, endpoint: Endpoint) -> Endpoint:
        detector = self._detectors.get(cluster)
        return endpoint if detector is None else detector.add(endpoint)

    def endpoint_removed(self, cluster: str, endpoint: Endpoint) -> None:
        detector = self._detectors.get(cluster)
        if detector is not None:
            detector.remove(endpoint.address)

    def heard(self, message: Message) -> None:
        """A worker has seen too many failures in a row, or a degraded host (`upstream.outlier`)."""
        detector = self._detectors.get(message["cluster"])
        if detector is None:
            return
        if message["kind"] == DEGRADED:
            detector.degraded(message["row"])
        else:
            detector.reached(message["row"], message["kind"], message["total"])

    def check_passed(self, cluster: str, address: Address) -> None:
        """An active health check of a host has succeeded, and it is healthy."""
        detector = self._detectors.get(cluster)
        if detector is not None:
            detector.check_passed(address)

    def collect(self, out: dict[str, Any]) -> None:
        """Add to a snapshot of statistics: counters, gauges, and what `/clusters` shows."""
        for cluster, detector in self._detectors.items():
            prefix = f"cluster.{self._plan.stat_names.get(cluster, cluster)}.outlier_detection."
            for name, value in detector.counters.items():
                out["counters"][prefix + name] = value
            out["gauges"][prefix + "ejections_active"] = detector.active
        if self._detectors:
            out["outliers"] = {cluster: detector.describe() for cluster, detector in self._detectors.items()}


def _undressed(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, flags=endpoint.flags & ~FLAGS, row=-1)
