"""`upgrade_configs` of connection managers and routes to `model.upgrade`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.model.upgrade import ConnectSettings, UpgradeSettings


def build_manager_upgrades(reader: Reader) -> tuple[UpgradeSettings, ...]:
    """Of an HttpConnectionManager."""
    found: dict[str, UpgradeSettings] = {}
    for one in reader.messages("upgrade_configs"):
        if one.messages("filters"):
            one.problem(
                "a filter chain of its own is not implemented; leave it out for the usual one", "filters"
            )
        _add(one, found, "Error: multiple upgrade configs with the same name: '{}'")
    return tuple(found.values())


def build_route_upgrades(reader: Reader) -> tuple[tuple[UpgradeSettings, ...], ConnectSettings | None]:
    """Of a RouteAction; the second is there if CONNECT ends at us."""
    found: dict[str, UpgradeSettings] = {}
    connect = None
    for one in reader.messages("upgrade_configs"):
        _add(one, found, "Duplicate upgrade {}")
        config = one.message("connect_config")
        if config is None:
            continue
        kind = one.string("upgrade_type")
        if kind.lower() != "connect":
            one.problem(f"Non-CONNECT upgrade type {kind} has ConnectConfig", "connect_config")
        proxy = config.message("proxy_protocol_config")
        version = "" if proxy is None else proxy.enum("version")
        connect = ConnectSettings(config.boolean("allow_post"), version)
    return tuple(found.values()), connect


def _add(reader: Reader, found: dict[str, UpgradeSettings], twice: str) -> None:
    name = reader.string("upgrade_type")
    kind = name.lower()
    if kind in found:
        reader.problem(twice.format(name), "upgrade_type")
    found[kind] = UpgradeSettings(kind, reader.boolean("enabled", True))
