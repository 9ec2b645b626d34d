"""Starts the real program for tests, talks to it, and leaves nothing of it behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ports import free_port

_LAUNCHER = Path(__file__).with_name("launch_fake.py")
#: Seconds that anything may take before a test fails.  Nothing waits this long when it works.
PATIENCE = 30.0


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Poll until `condition()` is true, and return what it gave."""
    deadline = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.02)


def listener(port: int, name: str = "a", **more: Any) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [_FILTER_CHAIN], **more}


_HTTP_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_FILTER_CHAIN = {
    "filters": [
        {
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": f"{_HTTP_MANAGER}.HttpConnectionManager",
                "stat_prefix": "fake",
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": []}]},
                "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
            },
        }
    ]
}


def cluster(name: str) -> dict[str, Any]:
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}}
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
    }


class Program:
    """One `twistd -n twistproxy` with the fake data plane."""

    def __init__(self, directory: Path, reactor: str = "epoll", concurrency: int = 2) -> None:
        self.directory = directory
        self.port = free_port()
        self.admin_port = free_port()
        self.config = directory / "config.json"
        self.run_dir = directory / "run"
        self.options = ["--worker-reactor", reactor, "--concurrency", str(concurrency)]
        self.options += ["--run-dir", str(self.run_dir), "--drain-time-s", "20"]
        self.settings: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.output = directory / "output"
        self.write([listener(self.port)])

    def write(
        self,
        listeners: list[dict[str, Any]],
        clusters: list[dict[str, Any]] | None = None,
        layers: list[dict[str, Any]] | None = None,
    ) -> None:
        admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.admin_port}}}
        resources = {"listeners": listeners, "clusters": clusters or []}
        runtime = {"layered_runtime": {"layers": layers}} if layers else {}
        self.config.write_text(json.dumps({"admin": admin, "static_resources": resources, **runtime}))

    def command(self, *twistd: str) -> list[str]:
        twistd = twistd or ("-n", "--pidfile=")
        return [sys.executable, str(_LAUNCHER), *twistd, "twistproxy", "-c", str(self.config), *self.options]

    def start(self) -> Program:
        """Start, and wait until it is live."""
        self.launch()
        wait_for(self.live, "the program to be live")
        return self

    def launch(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command(),
                stdout=output,
                stderr=output,
                cwd=self.directory,
                env={**os.environ, "FAKE_SETTINGS": json.dumps(self.settings)},
                start_new_session=True,
            )

    def run(self, *twistd: str) -> subprocess.CompletedProcess[str]:
        """Run a program that is expected to end by itself."""
        return subprocess.run(
            self.command(*twistd),
            capture_output=True,
            text=True,
            cwd=self.directory,
            timeout=PATIENCE,
            check=False,
        )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def live(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            return self.admin("/ready") == "LIVE"
        except OSError:
            return False

    def admin(self, path: str, method: str = "GET") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=PATIENCE)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode().strip()
        finally:
            connection.close()

    def stat(self, name: str) -> int:
        for line in self.admin("/stats").splitlines():
            found, _, value = line.partition(": ")
            if found == name:
                return int(value)
        return 0

    def connect(self, port: int = 0) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)
        connection.connect()
        return connection

    def get(self, path: str = "/", port: int = 0) -> str:
        """The answer to a request on a new connection: pid, listener name and number of clusters."""
        connection = self.connect(port)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def open(self, port: int) -> bool:
        try:
            self.connect(port).close()
        except ConnectionRefusedError:
            return False
        return True

    def children(self) -> dict[str, int]:
        """Process ids by title: "template", "discovery", "worker 0", ..."""
        return children_of_session(self.pid)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for the end; the exit status."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def log(self) -> str:
        return self.output.read_text()

    def clean(self) -> None:
        """Kill whatever is left of it."""
        if self.process is None:
            return
        for pid in [self.pid, *self.children().values()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(PATIENCE)


def children_of_session(session: int) -> dict[str, int]:
    """Our processes of a session, by what their titles say after the colon; the master is not among them."""
    found: dict[str, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            state, _parent, _group, its_session = (
                Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:4]
            )
            title = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        name = title.partition("twistproxy: ")[2]
        if int(its_session) == session and state != "Z" and name and not name.startswith("master"):
            found[name] = int(entry)
    return found


class RealProgram(Program):
    """The same with the real data plane."""

    def command(self, *twistd: str) -> list[str]:
        twistd = twistd or ("-n", "--pidfile=")
        program = str(Path(sys.executable).with_name("twistd"))
        return [sys.executable, program, *twistd, "twistproxy", "-c", str(self.config), *self.options]
