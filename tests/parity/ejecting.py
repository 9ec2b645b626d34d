"""Clusters with outlier detection: what their hosts answer, and who is ejected."""

from __future__ import annotations

import json
import time
from typing import Any

from ports import free_port

from .harness import Proxy, wait_for
from .origin import raw, text
from .settings import Config, bootstrap, cluster, listener

#: Of these clusters the first host does not listen.
DEAD = ("local", "local-rate", "local-share")
BAD = raw("HTTP/1.1 500 Bad\r\ncontent-length: 0\r\n\r\n")


def configuration(proxy: Proxy, described: dict[str, tuple[int, Config]]) -> Config:
    """Clusters by name: how many hosts each has, and its settings."""
    clusters: list[Config] = []
    routes: list[Config] = []
    for name, (count, settings) in described.items():
        ports = [port(proxy, name, number) for number in range(count)]
        clusters.append(cluster(name, *ports, outlier_detection=settings))
        routes.append({"match": {"prefix": f"/{name}/"}, "route": {"cluster": name}})
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    layers = {"layers": [{"name": "admin", "admin_layer": {}}]}
    log = {"outlier_detection": {"event_log_path": str(proxy.log("events").path)}}
    main = listener("main", proxy.port(), hosts)
    return bootstrap(proxy.port("admin"), [main], clusters, layered_runtime=layers, cluster_manager=log)


def port(proxy: Proxy, name: str, number: int) -> int:
    if name in DEAD and number == 0:
        if f"dead-{name}" not in proxy.ports:
            proxy.ports[f"dead-{name}"] = free_port()
        return proxy.ports[f"dead-{name}"]
    return proxy.origin(f"{name}{number}").port


def answers(proxy: Proxy, name: str, bad: Any = BAD, hosts: tuple[int, ...] = (0,)) -> None:
    """These hosts of a cluster answer so, the others with their number."""
    for key, origin in proxy.origins.items():
        number = key.removeprefix(name)
        if key.startswith(name) and number.isdigit():
            origin.default = bad if int(number) in hosts else text(number)


def ask(proxy: Proxy, name: str, count: int = 1) -> list[str]:
    """What requests on connections of their own get: the host's number, or the status of an error."""
    found = [proxy.ask(f"/{name}/") for _ in range(count)]
    return [one.text if one.status == 200 else str(one.status) for one in found]


def stats(proxy: Proxy, name: str) -> dict[str, int]:
    """The cluster's statistics of outlier detection that are not 0."""
    prefix = f"cluster.{name}.outlier_detection."
    found = proxy.stats(f"^{prefix}ejections")
    return {key.removeprefix(prefix + "ejections_"): value for key, value in found.items() if value}


#: So many requests on two workers, each of which takes hosts in turn, reach all of five hosts.
ENOUGH_FOR_ALL = 10


def until(
    proxy: Proxy, name: str, statistic: str, value: int = 1, *, at_once: int = 1, timeout: float = 5.0
) -> dict[str, int]:
    """Ask until a statistic has a value; `at_once` requests between two looks at it."""
    limit = time.monotonic() + timeout
    while (found := stats(proxy, name)).get(statistic, 0) != value and time.monotonic() < limit:
        ask(proxy, name, at_once)
    return found


def until_swept(proxy: Proxy, name: str, statistic: str = "active") -> dict[str, int]:
    """Ask until a sweep, which needs answers of all hosts since the last one, has found something."""
    return until(proxy, name, statistic, at_once=ENOUGH_FOR_ALL, timeout=10.0)


def events(proxy: Proxy, name: str, count: int) -> list[Config]:
    """The lines of a cluster in the event log; waits until there are so many."""

    def read() -> list[Config]:
        found = [json.loads(line) for line in proxy.log("events").lines()]
        return [line for line in found if line["cluster_name"] == name]

    wait_for(lambda: len(read()) >= count)
    return read()


def ask_until_logged(proxy: Proxy, name: str, count: int) -> list[Config]:
    """Ask without a pause until a cluster has so many lines in the event log."""
    limit = time.monotonic() + 8
    while len(found := events(proxy, name, 0)) < count and time.monotonic() < limit:
        ask(proxy, name)
    return found


def flags(proxy: Proxy, name: str) -> list[str]:
    lines = proxy.admin("/clusters").text.splitlines()
    return [
        line.rpartition("::")[2]
        for line in lines
        if line.startswith(f"{name}::") and "::health_flags::" in line
    ]


def only(proxy: Proxy, name: str, expected: str) -> bool:
    """Whether all requests get these answers, once all workers know."""
    return bool(wait_for(lambda: set(ask(proxy, name, 12)) == set(expected.split())))
