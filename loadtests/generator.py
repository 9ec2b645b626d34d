"""Drives the load generators wrk and h2load and reads what they report."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.tools import LoadTestError, find_program

_LUA = Path(__file__).with_name("requests.lua")
_PATHS_IN_TURN = 997
_HOST = "app.example.com"
_TRACE = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#: With Host and a traceparent ten headers, as a browser sends them to a site that traces its requests.
_HEADERS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.7",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://app.example.com/catalogue/garden?sort=price&page=3",
    "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=analytics%3Dno%26ads%3Dno; "
    "seen=1732310400",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJzdWIiOiI0MjQyNDIiLCJzY29wZSI6InJlYWQifQ.c2lnbmF0dXJl",
    "Cache-Control: max-age=0",
)


@dataclass(frozen=True)
class LoadResult:
    """What a generator saw: requests answered, seconds, latency in milliseconds, and errors of any kind."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.requests / self.duration_s if self.duration_s else 0.0


def _run(command: Sequence[str], core: int, duration_s: float) -> str:
    """Run a generator on `core`; its standard output."""
    pinned = [find_program("taskset"), "-c", str(core), *command]
    try:
        done = subprocess.run(
            pinned, stdin=subprocess.DEVNULL, capture_output=True, timeout=duration_s + 15, text=True
        )
    except subprocess.TimeoutExpired:
        raise LoadTestError(f"{command[0]} did not end in time") from None
    if done.returncode:
        raise LoadTestError(f"{command[0]} ended with status {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def run_wrk(
    port: int, core: int, mode: str, path: str, connections: int, duration_s: int, rate: float | None = None
) -> LoadResult:
    """As many requests as go through, each connection sending the next when the answer is there; or, with
    `rate`, that many a second at random moments.

    `mode` is one of requests.lua's: keep, close, upload.
    """
    script = [mode, path, f"{rate or 0:.3f}", f"Host: {_HOST}", *_HEADERS]
    command = [find_program("wrk"), "-t1", f"-c{connections}", f"-d{duration_s}s", "--timeout", "10s"]
    output = _run([*command, "-s", str(_LUA), f"http://127.0.0.1:{port}/", "--", *script], core, duration_s)
    return parse_wrk(output)


def parse_wrk(output: str) -> LoadResult:
    """The JSON line that requests.lua prints last."""
    try:
        found = json.loads(output.strip().splitlines()[-1])
        return LoadResult(
            requests=found["requests"],
            duration_s=found["duration_s"],
            p50_ms=found["p50_ms"],
            p99_ms=found["p99_ms"],
            errors=found["failed_connections"] + found["failed_statuses"],
        )
    except (ValueError, IndexError, KeyError, TypeError):
        raise LoadTestError(f"wrk printed no result:\n{output}") from None


def run_h2load(
    port: int, core: int, path: str, connections: int, rate: float, duration_s: int, directory: Path
) -> LoadResult:
    """A fixed rate of HTTP/1.1 requests, spread evenly over the connections, whatever the proxy does with
    them.

    Latencies come from h2load's log of single requests.
    """
    uris = directory / "uris"
    uris.write_text(
        "".join(f"http://127.0.0.1:{port}{path}?item={number}\n" for number in range(_PATHS_IN_TURN))
    )
    log = directory / "h2load.log"
    log.unlink(missing_ok=True)
    command = [
        find_program("h2load"),
        "--h1",
        "-t1",
        f"-c{connections}",
        "-m1",
        f"-n{round(rate * duration_s)}",
    ]
    command += [f"--rps={rate / connections:.3f}", f"--log-file={log}", f"--input-file={uris}"]
    for header in (f":authority: {_HOST}", *_HEADERS, _TRACE):
        command += ["-H", header]
    _run(command, core, duration_s)
    return parse_h2load_log(log.read_text(), duration_s)


def parse_h2load_log(text: str, duration_s: float) -> LoadResult:
    """One line a request: start in µs, status (-1: failed), µs until the end of the answer."""
    latencies = []
    errors = 0
    for line in text.splitlines():
        _start, status, microseconds = line.split("\t")[:3]
        if status == "200":
            latencies.append(int(microseconds))
        else:
            errors += 1
    latencies.sort()
    return LoadResult(
        requests=len(latencies),
        duration_s=duration_s,
        p50_ms=percentile(latencies, 0.50) / 1e3,
        p99_ms=percentile(latencies, 0.99) / 1e3,
        errors=errors,
    )


def percentile(ascending: Sequence[int], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank); 0 for no values."""
    if not ascending:
        return 0.0
    return float(ascending[min(len(ascending) - 1, int(share * len(ascending)))])
