"""What is measured, and what twistproxy has to reach against Envoy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["peak", "arrivals", "bursts", "memory"]
Metric = Literal["cpu_us", "p99_ms", "memory_kib"]


@dataclass(frozen=True)
class Scenario:
    """One kind of load.

    `kind`: "peak" sends as much as goes through (wrk); "arrivals" the same rate to all peers at random
    moments (wrk); "bursts" the same rate with all connections sending at once (h2load); "memory" looks at
    idle proxies with two workers after load.  `metric` is the figure that counts and `target` the most that
    twistproxy may have of Envoy's.
    """

    name: str
    title: str
    kind: Kind
    mode: str
    path: str
    connections: int
    metric: Metric
    target: float


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "keepalive", "Keep-alive, ten headers, 1 KiB answers", "peak", "keep", "/1k", 32, "cpu_us", 0.70
        ),
        Scenario("connect", "New connection for each request", "peak", "close", "/1k", 32, "cpu_us", 1.2),
        Scenario("download", "64 KiB answers", "peak", "keep", "/64k", 32, "cpu_us", 0.8),
        Scenario("upload", "1 MiB uploads", "peak", "upload", "/upload", 16, "cpu_us", 1.0),
        Scenario("connections", "256 connections, keep-alive", "peak", "keep", "/1k", 256, "cpu_us", 0.60),
        Scenario(
            "latency", "Same rate for all, random arrivals", "arrivals", "keep", "/1k", 64, "p99_ms", 1.0
        ),
        Scenario("bursts", "Same rate for all, bursts of 32", "bursts", "keep", "/1k", 32, "p99_ms", 1.0),
        Scenario("memory", "Memory with two workers", "memory", "keep", "/1k", 256, "memory_kib", 1.5),
    )
}
