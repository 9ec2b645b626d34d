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
    """A CONNECT ends here and becomes a TCP connection to the cluster.  `allow_post`: so does a POST."""

    allow_post: bool = False
