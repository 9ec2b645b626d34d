"""What is done to the running proxy, phase by phase, while the load goes on.

A phase checks that what it did took effect: a reload that changes routes must be seen, swapped endpoints must
be followed, a killed process must be replaced.  What did not is a trouble, and as bad as a failed request.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from loadtests import chaos_tree
from loadtests.chaos_client import ConstantLoad
from loadtests.processes import ProcessUnderTest, get

_EFFECT_TIMEOUT_S = 10.0
_REPLACED_TIMEOUT_S = 60.0  # a process that keeps being killed is replaced with growing patience
_FRESH_CONNECTIONS = 6  # in a row that must all see a change: the kernel spreads them over the workers


def bootstrap(port: int, admin_port: int, endpoints: Path, generation: int) -> str:
    """The v3 file.  A generation has routes of its own: /generation's answer and how /items is rewritten."""
    return f"""\
node: {{id: chaos, cluster: chaos}}
admin:
  address: {{socket_address: {{address: 127.0.0.1, port_value: {admin_port}}}}}
static_resources:
  listeners:
  - name: ingress
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/\
envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config:
            name: local
            virtual_hosts:
            - name: app
              domains: ["*"]
              routes:
              - match: {{path: /generation}}
                direct_response: {{status: 200, body: {{inline_string: "{generation}"}}}}
              - match: {{prefix: /items}}
                route: {{cluster: app, prefix_rewrite: /v{generation}/items}}
              - match: {{prefix: /}}
                route: {{cluster: app}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: app
    type: EDS
    connect_timeout: 5s
    eds_cluster_config:
      eds_config:
        resource_api_version: V3
        path_config_source: {{path: "{endpoints}"}}
"""


def endpoints_file(ports: list[int]) -> str:
    """The EDS file."""
    lines = "".join(
        f"    - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}\n"
        for port in ports
    )
    return f"""\
resources:
- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: app
  endpoints:
  - lb_endpoints:
{lines}"""


def replace_file(file: Path, content: str) -> None:
    """Write `content` to `file` by an atomic rename, as a careful user does."""
    new = file.with_suffix(".new")
    new.write_text(content)
    new.rename(file)


@dataclass
class Chaos:
    """The proxy, its files and the load on it, and the actions."""

    load: ConstantLoad
    directory: Path
    port: int
    admin_port: int
    origin_ports: list[int]
    troubles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    generation: int = 1
    process: ProcessUnderTest = field(init=False)  # set by whoever starts it, once the files are written

    def write_bootstrap(self) -> None:
        """The configuration file for the current generation."""
        text = bootstrap(self.port, self.admin_port, self.directory / "eds.yaml", self.generation)
        replace_file(self.directory / "bootstrap.yaml", text)

    def write_endpoints(self, number: int) -> set[bytes]:
        """Leave one origin out, another for each `number`; the origins left, as their answers name them."""
        left = [
            port for index, port in enumerate(self.origin_ports) if index != number % len(self.origin_ports)
        ]
        replace_file(self.directory / "eds.yaml", endpoints_file(left))
        return {str(port).encode() for port in left}

    async def quiet(self, _number: int) -> None:
        """Nothing happens: what fails now is not due to any action."""

    async def reload(self, number: int) -> None:
        """HUP; with changed routes every second time."""
        changed = number % 2 == 0
        if changed:
            self.generation += 1
            self.write_bootstrap()
        self.process.signal(signal.SIGHUP)
        if changed:
            await self._until_generation()

    async def _until_generation(self) -> None:
        """Return when several fresh connections in a row are answered by the new routes."""
        wanted = (200, str(self.generation).encode())
        in_a_row = 0

        async def seen() -> bool:
            nonlocal in_a_row
            try:
                answer = await asyncio.to_thread(get, self.port, "/generation")
            except OSError:
                answer = (0, b"")
            in_a_row = in_a_row + 1 if answer == wanted else 0
            return in_a_row == _FRESH_CONNECTIONS

        await self._until(seen, f"the routes of generation {self.generation} were not served")

    async def kill_discovery(self, number: int) -> None:
        """KILL the discovery process and wait for its successor."""
        pid = chaos_tree.discovery(self.process.pid)
        if pid is None:
            self.troubles.append(f"kill {number + 1}: no discovery process found")
            return
        os.kill(pid, signal.SIGKILL)

        async def replaced() -> bool:
            return chaos_tree.discovery(self.process.pid) not in (None, pid)

        await self._until_replaced(replaced, f"kill {number + 1}: the discovery process")

    async def swap_endpoints(self, number: int) -> None:
        """Take one origin out and put another in; wait until only the new set is asked."""
        # Requests under way may still end on the origin that was taken out, so a whole quiet stretch has to
        # be seen.
        wanted = self.write_endpoints(number)
        start = time.monotonic()

        async def followed() -> bool:
            self.load.origins.clear()
            await asyncio.sleep(0.3)
            return set(self.load.origins) == wanted

        if await self._until(followed, f"swap {number + 1}: the new endpoints were not followed"):
            passed = time.monotonic() - start
            if passed > 1.0:
                self.notes.append(f"swap {number + 1} was followed after {passed:.1f} s")

    async def kill_worker(self, number: int) -> None:
        """KILL a worker and wait for its successor."""
        found = chaos_tree.workers(self.process.pid)
        if not found:
            self.troubles.append(f"kill {number + 1}: no worker found")
            return
        slot, pid = sorted(found.items())[number % len(found)]
        # Stopped first, so that it accepts and reads nothing between being looked at and being killed.
        os.kill(pid, signal.SIGSTOP)
        in_flight = self.load.excuse(chaos_tree.client_ports(pid, self.port))
        os.kill(pid, signal.SIGKILL)
        self.notes.append(f"worker {slot} was killed with at most {in_flight} requests in flight")

        async def replaced() -> bool:
            return chaos_tree.workers(self.process.pid).get(slot) not in (None, pid)

        await self._until_replaced(replaced, f"kill {number + 1}: worker {slot}")

    async def _until_replaced(self, replaced: Callable[[], Awaitable[bool]], which: str) -> None:
        """Wait for a successor; a note if that took longer than usual."""
        start = time.monotonic()
        if await self._until(replaced, f"{which} was not replaced", _REPLACED_TIMEOUT_S):
            passed = time.monotonic() - start
            if passed > 1.0:
                self.notes.append(f"{which} was replaced after {passed:.1f} s")

    async def _until(
        self, condition: Callable[[], Awaitable[bool]], trouble: str, timeout_s: float = _EFFECT_TIMEOUT_S
    ) -> bool:
        """Poll `condition`; whether it came true in time, else `trouble` is noted."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if not self.process.is_alive():
                self.troubles.append("the master ended")
                return False
            if await condition():
                return True
            await asyncio.sleep(0.02)
        self.troubles.append(f"{trouble} within {timeout_s:.0f} s")
        return False
