"""The root of the run-time description, as `config.build` makes it from a bootstrap message."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.model.address import Address
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Locality
from twistproxy.model.listener import ListenerSettings
from twistproxy.model.overload import OverloadSettings
from twistproxy.model.runtime import RuntimeLayer
from twistproxy.model.sockets import NO_OPTIONS, ListenOptions
from twistproxy.model.statistics import DEFAULT_STATISTICS, StatsSettings
from twistproxy.primitives.string_match import TextMatcher


@dataclass(frozen=True, slots=True)
class Node:
    id: str = ""
    cluster: str = ""
    zone: str = ""
    region: str = ""
    sub_zone: str = ""

    @property
    def locality(self) -> Locality:
        return Locality(self.region, self.zone, self.sub_zone)


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """
    address      None: no admin pages
    allow_paths  what a path with its query must match, one of them; () for any
    options      what is set on the listening socket
    """

    address: Address | None = None
    access_log_paths: tuple[str, ...] = ()
    allow_paths: tuple[TextMatcher, ...] = ()
    options: ListenOptions = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """Seconds that a worker may be busy with something else before that counts as a miss, and as a large one."""

    miss: float = 0.2
    megamiss: float = 1.0


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Everything a configuration says.

    stats_flush_interval  seconds
    runtime               the last layer wins
    local_cluster         the name of the cluster that the proxy belongs to, "" if it does not say
    outlier_log           the file of outlier detection's events, "" for none
    flags_path            a directory: with a file `drain` in it the program starts as after /healthcheck/fail
    overload              None: there is no overload manager
    """

    node: Node
    admin: AdminSettings
    listeners: tuple[ListenerSettings, ...]
    clusters: tuple[ClusterSettings, ...]
    stats_flush_interval: float = 5.0
    runtime: tuple[RuntimeLayer, ...] = ()
    local_cluster: str = ""
    outlier_log: str = ""
    overload: OverloadSettings | None = None
    flags_path: str = ""
    watchdog: WatchdogSettings = WatchdogSettings()
    stats: StatsSettings = DEFAULT_STATISTICS
