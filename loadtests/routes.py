"""`python -m loadtests.routes`: what looking up a route costs as routes and domains grow in number.

Three tables, each with 10, 1,000 and 10,000 of something, and the request always for the last of them:

    domains   virtual hosts with one domain each
    paths     routes with an exact path
    prefixes  routes with a prefix
    regexes   routes with a regular expression, which nobody can look up but by trying each (no more than 1,000)

The cost of a look-up alone is measured in this process: the only place in the load tests that imports twistproxy.
Then twistproxy and Envoy get the same generated file and the same load, and the CPU that each uses for a request is
compared, as in `python -m loadtests`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtests.generator import run_wrk
from loadtests.peers import PEERS, RunningPeer, start_origin, start_peer
from loadtests.processes import tree_cpu_s
from loadtests.session import private_directory
from loadtests.tools import Cores, LoadTestError, choose_cores, missing_programs

SIZES = (10, 1_000, 10_000)
KINDS = ("domains", "paths", "prefixes", "regexes")
_MOST_REGEXES = 1_000
_HOST = "app.example.com"
_LOOKUPS = 2_000
_CONNECTIONS = 32
_PEERS = ("twistproxy", "envoy")


def virtual_hosts(kind: str, size: int) -> list[dict[str, Any]]:
    """`size` of a kind; the last is for /1k on app.example.com, and on 127.0.0.1 for the look whether a proxy is up."""
    to = {"cluster": "app", "timeout": "60s"}
    domains = [_HOST, "127.0.0.1:*"]
    if kind == "domains":
        routes = [{"match": {"prefix": "/"}, "route": to}]
        others = [
            {"name": f"host-{at}", "domains": [f"service-{at}.example.com"], "routes": routes}
            for at in range(size - 1)
        ]
        return [*others, {"name": "app", "domains": domains, "routes": routes}]
    matches: dict[str, tuple[Any, Any]] = {
        "paths": (lambda at: {"path": f"/service-{at}/item"}, {"path": "/1k"}),
        "prefixes": (lambda at: {"prefix": f"/service-{at}/"}, {"prefix": "/1k"}),
        "regexes": (
            lambda at: {"safe_regex": {"regex": f"/service-{at}/[0-9]+"}},
            {"safe_regex": {"regex": "/[0-9]k"}},
        ),
    }
    other, last = matches[kind]
    found = [{"match": other(at), "route": to} for at in range(size - 1)]
    return [{"name": "app", "domains": domains, "routes": [*found, {"match": last, "route": to}]}]


def lookup_ns(kind: str, size: int) -> float:
    """Nanoseconds of one look-up in this process, the best of five rounds: each round asks for what is spread over the
    whole table, and for the last of it every other time."""
    from twistproxy.http.message import RequestHead
    from twistproxy.model.route import (
        ClusterAction,
        RouteConfiguration,
        RouteMatch,
        RouteSettings,
        VirtualHostSettings,
    )
    from twistproxy.route.table import RouteTable

    def settings(match: dict[str, Any]) -> RouteSettings:
        fields = {"regex": match["safe_regex"]["regex"]} if "safe_regex" in match else match
        return RouteSettings(RouteMatch(**fields), ClusterAction("app"))

    hosts = tuple(
        VirtualHostSettings(
            host["name"], tuple(host["domains"]), tuple(settings(one["match"]) for one in host["routes"])
        )
        for host in virtual_hosts(kind, size)
    )
    table = RouteTable(RouteConfiguration("local", hosts))
    heads = []
    for number in range(_LOOKUPS):
        at = number * 7919 % max(1, size - 1)
        host, path = _HOST, f"/1k?item={number}"
        if number % 2 and kind == "domains":
            host = f"service-{at}.example.com"
        elif number % 2:
            path = f"/service-{at}/{'item' if kind == 'paths' else number}?item={number}"
        heads.append(RequestHead(b"GET", path.encode(), host.encode(), [], {}))
    assert all(table.pick(head, None) is not None for head in heads)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for head in heads:
            table.pick(head, None)
        best = min(best, time.perf_counter() - start)
    return best / len(heads) * 1e9


def _cpu_us(running: RunningPeer, core: int, duration_s: int) -> float:
    """CPU of the proxy for one request, in µs."""
    before = tree_cpu_s(running.process.pid)
    result = run_wrk(running.port, core, "keep", "/1k", _CONNECTIONS, duration_s)
    if result.errors or not result.requests:
        raise LoadTestError(f"{running.process.name}: {result.requests} answers, {result.errors} errors")
    return (tree_cpu_s(running.process.pid) - before) / result.requests * 1e6


def compare(
    kind: str, size: int, directory: Path, cores: Cores, origin_port: int, rounds: int
) -> dict[str, Any]:
    """µs per request of both proxies and the ratio, medians of `rounds` in which they take turns."""
    hosts = json.dumps(virtual_hosts(kind, size))
    running: dict[str, RunningPeer] = {}
    found: dict[str, list[float]] = {name: [] for name in _PEERS}
    try:
        for name in _PEERS:
            running[name] = start_peer(PEERS[name], directory, origin_port, cores.proxy, 1, hosts)
            _cpu_us(running[name], cores.generator, 1)  # warms up
        for number in range(rounds):
            for name in _PEERS if number % 2 == 0 else _PEERS[::-1]:
                found[name].append(_cpu_us(running[name], cores.generator, 1))
    finally:
        for one in running.values():
            one.process.stop()
    ratios = [ours / theirs for ours, theirs in zip(found["twistproxy"], found["envoy"], strict=True)]
    return {name: statistics.median(found[name]) for name in _PEERS} | {"ratio": statistics.median(ratios)}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.routes", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds of one second each (3)")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="how many of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of: {', '.join(KINDS)}")
    parser.add_argument(
        "--only-lookup", action="store_true", help="no proxies, only the look-up in this process"
    )
    return parser.parse_args(arguments)


def _measure(options: argparse.Namespace) -> None:
    kinds = options.kinds.split(",")
    cases = [
        (kind, int(size))
        for kind in kinds
        for size in options.sizes.split(",")
        if kind != "regexes" or int(size) <= _MOST_REGEXES
    ]
    print(f"{'':<10}{'number':>8}{'look-up ns':>12}{'twistproxy µs/rq':>18}{'envoy µs/rq':>13}{'ratio':>7}")
    if options.only_lookup:
        for kind, size in cases:
            print(f"{kind:<10}{size:>8}{lookup_ns(kind, size):>12.0f}", flush=True)
        return
    missing = missing_programs(["taskset", "nginx", "wrk", *(PEERS[name].program for name in _PEERS)])
    if missing:
        raise LoadTestError("\n".join(missing))
    cores = choose_cores()
    os.sched_setaffinity(0, {cores.generator})
    with private_directory() as directory:
        origin = start_origin(directory, cores.origin)
        with origin.process:
            for kind, size in cases:
                alone = lookup_ns(kind, size)
                both = compare(kind, size, directory, cores, origin.port, options.rounds)
                print(
                    f"{kind:<10}{size:>8}{alone:>12.0f}{both['twistproxy']:>18.1f}"
                    f"{both['envoy']:>13.1f}{both['ratio']:>7.2f}",
                    flush=True,
                )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 if something could not be measured."""
    try:
        _measure(_options(arguments))
    except LoadTestError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
