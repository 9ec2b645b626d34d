"""Upgrades and CONNECT as configured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UpgradeSettings:
    """Whether an upgrade is allowed.  `kind`: the value of `Upgrade` in lower case, "connect" for CONNECT."""

    kind: str
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ConnectSettings:
    """A CONNECT ends here and becomes a TCP connection to the cluster.

    allow_post      so does a POST
    proxy_protocol  the version of the PROXY protocol that the connection begins with: "V1", "V2", or "" for none
    """

    allow_post: bool = False
    proxy_protocol: str = ""
