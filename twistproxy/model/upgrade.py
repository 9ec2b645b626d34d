"""Upgrades and CONNECT as configured."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.model.http_filters import HttpFilterSettings


@dataclass(frozen=True, slots=True)
class UpgradeSettings:
    """Whether an upgrade is allowed.

    kind     the value of `Upgrade` in lower case, "connect" for CONNECT
    filters  the chain before the router that its requests go through, None for the usual one
    """

    kind: str
    enabled: bool = True
    filters: tuple[HttpFilterSettings, ...] | None = None


@dataclass(frozen=True, slots=True)
class ConnectSettings:
    """A CONNECT ends here and becomes a TCP connection to the cluster.

    allow_post      so does a POST
    proxy_protocol  the version of the PROXY protocol that the connection begins with: "V1", "V2", or "" for none
    """

    allow_post: bool = False
    proxy_protocol: str = ""
