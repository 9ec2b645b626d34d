"""What the parity tests of health checks share: short checks, and how their results are seen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .harness import Log, Proxy, wait_for
from .settings import Config
from .workers import Workers

#: Often enough for tests, and not so often that a busy machine cannot follow.
INTERVAL = "0.1s"


def check(**fields: Any) -> Config:
    """A health check; `fields` say of what kind, and what is different."""
    return {
        "timeout": "2s",  # in which the host answers even on a busy machine
        "interval": INTERVAL,
        "no_traffic_interval": INTERVAL,
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
        **fields,
    }


def http_check(path: str = "/health", **fields: Any) -> Config:
    """One over HTTP; `http` are further fields of that part."""
    return check(http_health_check={"path": path, **fields.pop("http", {})}, **fields)


#: Hosts whose checks fail are asked by nobody, and workers hear of it at once.
STRICT: Config = {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}


def routes(clusters: list[Config]) -> list[Config]:
    """One virtual host with a path for each cluster: /its-name/."""
    found = [{"match": {"prefix": f"/{one['name']}/"}, "route": {"cluster": one["name"]}} for one in clusters]
    return [{"name": "all", "domains": ["*"], "routes": found}]


def all_find(workers: Workers, cluster: str, answer: str) -> bool:
    """Whether all workers get this answer of a cluster with `STRICT`; 503 where no host passes its checks."""
    wanted = [[answer]] * len(workers.numbers)
    return bool(wait_for(lambda: workers.ask(f"/{cluster}/asked") == wanted))


def counts(proxy: Proxy, cluster: str) -> dict[str, int]:
    """The statistics of a cluster's checks, by the last part of their names."""
    prefix = f"cluster.{cluster}.health_check."
    return {name.removeprefix(prefix): value for name, value in proxy.stats(f"^{prefix}").items()}


def flags(proxy: Proxy, cluster: str, port: int | None = None) -> str:
    """The health flags of a cluster's host, of the only one if no port is named; "" if it is not there."""
    where = r"\d+" if port is None else str(port)
    pattern = rf"^{re.escape(cluster)}::127\.0\.0\.1:{where}::health_flags::(.*)$"
    found = re.findall(pattern, proxy.admin("/clusters").text, re.MULTILINE)
    return found[0] if found else ""


def flags_become(proxy: Proxy, cluster: str, wanted: str, port: int | None = None) -> str:
    """Waits for flags; returns those there are then."""
    wait_for(lambda: flags(proxy, cluster, port) == wanted)
    return flags(proxy, cluster, port)


def attempted(proxy: Proxy, cluster: str, more: int) -> bool:
    """Whether so many more checks begin."""
    start = counts(proxy, cluster)["attempt"]
    return bool(wait_for(lambda: counts(proxy, cluster)["attempt"] >= start + more))


def events(path: Path, cluster: str) -> list[dict[str, Any]]:
    """The logged events of one cluster."""
    found = [json.loads(line) for line in Log(path).lines()]
    return [one for one in found if one["cluster_name"] == cluster]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    """Of each event what kind it is, with the reason of a failure."""
    return [
        name.removesuffix("_event") + (f" {facts['failure_type']}" if "failure_type" in facts else "")
        for one in found
        for name, facts in one.items()
        if name.endswith(("_event", "_host"))
    ]
