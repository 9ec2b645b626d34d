"""The root of the run-time description, as `config.build` makes it from a bootstrap message."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.model.address import Address
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.listener import ListenerSettings
from twistproxy.model.runtime import RuntimeLayer


@dataclass(frozen=True, slots=True)
class Node:
    id: str = ""
    cluster: str = ""
    zone: str = ""
    region: str = ""
    sub_zone: str = ""


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """`address` None: no admin pages."""

    address: Address | None = None
    access_log_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Everything a configuration says.

    stats_flush_interval  seconds
    runtime               the last layer wins
    """

    node: Node
    admin: AdminSettings
    listeners: tuple[ListenerSettings, ...]
    clusters: tuple[ClusterSettings, ...]
    stats_flush_interval: float = 5.0
    runtime: tuple[RuntimeLayer, ...] = ()
