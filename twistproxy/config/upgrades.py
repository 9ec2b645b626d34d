"""`upgrade_configs` of connection managers and routes to `model.upgrade`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.http_filters import build_http_filters
from twistproxy.model.http_filters import HttpFilterSettings
from twistproxy.model.upgrade import ConnectSettings, UpgradeSettings


def build_manager_upgrades(
    reader: Reader, router: Reader | None, cluster: str
) -> tuple[UpgradeSettings, ...]:
    """Of an HttpConnectionManager.  `router`: that of its own chain; `cluster`: the name of ours."""
    found: dict[str, UpgradeSettings] = {}
    for one in reader.messages("upgrade_configs"):
        filters = None
        if one.messages("filters"):
            filters, own_router = build_http_filters(one, cluster, "filters", "http upgrade")
            if own_router is not None:
                own_router.ignore_all()
                if router is not None and own_router.raw != router.raw:
                    one.problem("the router must have the settings that it has in http_filters", "filters")
        _add(one, found, "Error: multiple upgrade configs with the same name: '{}'", filters)
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


def _add(
    reader: Reader,
    found: dict[str, UpgradeSettings],
    twice: str,
    filters: tuple[HttpFilterSettings, ...] | None = None,
) -> None:
    name = reader.string("upgrade_type")
    kind = name.lower()
    if kind in found:
        reader.problem(twice.format(name), "upgrade_type")
    found[kind] = UpgradeSettings(kind, reader.boolean("enabled", True), filters)
