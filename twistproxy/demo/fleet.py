"""The programs of the demo together: a registry, copies of the service with their sidecars, and an edge."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twistproxy.demo import configs
from twistproxy.demo.client import Client
from twistproxy.demo.programs import DemoError, Program, free_port, is_free, script, together

_START = 60.0


class Copy:
    """A Flask application and the sidecar beside it."""

    def __init__(self, reactor: Any, number: int, directory: Path, client: Client, ports: list[int]) -> None:
        self.number = number
        self.app_port, self.port, self.admin_port = ports
        self._client = client
        config = directory / f"sidecar-{number}.json"
        config.write_text(configs.sidecar_v1(self.port, self.admin_port, self.app_port))
        flask = [script("flask"), "--app", "twistproxy.demo.app", "run", "--port", str(self.app_port)]
        sidecar = [script("twistd"), "-n", "--pidfile=", "twistproxy", "--config", config.name]
        sidecar += ["--concurrency", "1", "--run-dir", f"run-{number}"]
        self.app = Program(reactor, f"app {number}", flask, directory, DEMO_COPY=str(number))
        self.sidecar = Program(reactor, f"sidecar {number}", sidecar, directory)

    @property
    def running(self) -> bool:
        """Whether both programs run."""
        return self.app.running and self.sidecar.running

    async def start(self) -> None:
        """Start both programs, and wait until both serve."""
        self.app.start()
        self.sidecar.start()
        await self.app.wait_until(lambda: _serves(self._client, self.app_port, "/"), _START)
        await self.sidecar.wait_until(lambda: _serves(self._client, self.admin_port, "/ready"), _START)

    async def stop(self) -> None:
        """First the sidecar, which finishes what is in flight, then the application."""
        await self.sidecar.stop()
        await self.app.stop()

    def kill(self) -> None:
        """Both are gone from one moment to the next, as if the machine had lost its power."""
        self.sidecar.kill()
        self.app.kill()


class Fleet:
    """All of it.  Nothing runs until `start`; `stop` ends whatever runs."""

    def __init__(self, reactor: Any, directory: Path, client: Client, size: int, port: int) -> None:
        self._client = client
        self.directory = directory
        self.registry_file = directory / "registry.yaml"
        taken = _Ports()
        if port and not is_free(port):
            raise DemoError(
                f"port {port} of 127.0.0.1 is in use by another program; choose another with --port"
            )
        self.port = taken.take(port)
        self.admin_port, self.registry_port = taken.take(), taken.take()
        self.copies = {
            number: Copy(reactor, number, directory, client, [taken.take() for _ in range(3)])
            for number in range(1, size + 1)
        }
        self.register(self.copies)
        (directory / "edge.yaml").write_text(configs.edge_v3(self.port, self.admin_port, self.registry_port))
        http = f"127.0.0.1:{self.registry_port}"
        registry = [script("twistproxy"), "sds", "--file", self.registry_file.name, "--http", http]
        edge = [script("twistd"), "-n", "--pidfile=", "twistproxy", "--config", "edge.yaml"]
        edge += ["--concurrency", "2", "--run-dir", "run-edge"]
        self.registry = Program(reactor, "registry", registry, directory)
        self.edge = Program(reactor, "edge", edge, directory)

    @property
    def programs(self) -> list[Program]:
        """Every program, in the order of a request backwards."""
        copies = self.copies.values()
        return [self.registry, *(copy.app for copy in copies), *(copy.sidecar for copy in copies), self.edge]

    async def start(self) -> None:
        """Start everything, and wait until everything serves."""
        self.registry.start()
        path = f"/v1/registration/{configs.SERVICE}"
        await self.registry.wait_until(lambda: _serves(self._client, self.registry_port, path), _START)
        await together(*(copy.start() for copy in self.copies.values()))
        self.edge.start()
        await self.edge.wait_until(lambda: _serves(self._client, self.admin_port, "/ready"), _START)

    def register(self, numbers: Iterable[int]) -> None:
        """Make these copies the service: rewrite the registry's file, by renaming a new one over it."""
        new = self.registry_file.with_suffix(".new")
        new.write_text(configs.registry(self.copies[number].port for number in numbers))
        new.replace(self.registry_file)

    async def stop(self) -> None:
        """End everything, the edge first."""
        await self.edge.stop()
        await together(self.registry.stop(), *(copy.stop() for copy in self.copies.values()))


class _Ports:
    """Gives each port once."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self, wanted: int = 0) -> int:
        """This port, or a free one that nobody was given yet."""
        port = wanted or free_port()
        while port in self._taken:
            port = free_port()
        self._taken.add(port)
        return port


async def _serves(client: Client, port: int, path: str) -> bool:
    return (await client.ask(port, path, fresh=True)).status == 200
