"""Starts one engine, real Envoy or twistproxy, on a configuration, and what a test needs around it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ports import free_port

from .dns_peer import DnsPeer
from .origin import Origin
from .settings import Config
from .wire import Client, Response, ask

ENGINES = ("envoy", "twistproxy")
START_LIMIT = 30.0
#: Seconds for what takes some milliseconds on a machine that has time.
PATIENCE = 10.0


def command(engine: str, config: Path, concurrency: int = 1) -> list[str]:
    """The command line that runs an engine on a configuration file."""
    beside = Path(sys.executable).parent
    if engine == "envoy":
        program = shutil.which("envoy", path=str(beside)) or shutil.which("envoy") or "envoy"
        flags = [
            "--concurrency",
            str(concurrency),
            "--disable-hot-restart",
            "--file-flush-interval-msec",
            "20",
        ]
        return [program, "-c", str(config), *flags, "-l", "error"]
    twistd = shutil.which("twistd", path=str(beside)) or "twistd"
    flags = ["--config", str(config), "--concurrency", str(concurrency), "--unsupported", "warn"]
    flags += ["--file-flush-interval-msec", "20"]
    return [sys.executable, twistd, "-n", "--pidfile=", "twistproxy", *flags]


PROBLEM = re.compile(r"^twistproxy: \S+:\d+:\d+: (\S+): ", re.MULTILINE)


def refused_paths(configure: Callable[[Proxy], Config], directory: Path) -> set[str]:
    """The paths of the fields for which twistproxy refuses a configuration, in its normal, strict mode."""
    drawing = Proxy("twistproxy", directory)
    try:
        file = directory / "config.yaml"
        file.write_text(json.dumps(configure(drawing), indent=1))
    finally:
        drawing.stop()
    words = [word for word in command("twistproxy", file) if word not in ("--unsupported", "warn")]
    found = subprocess.run(
        [*words, "--mode", "validate"], capture_output=True, text=True, timeout=START_LIMIT
    )
    assert found.returncode == 1, found.stderr
    return set(PROBLEM.findall(found.stderr))


def why(output: Path) -> str:
    """What an engine said before it gave up; Envoy writes the reason, then its whole configuration."""
    text = output.read_text(errors="replace").partition('{"')[0]
    return text[-1500:]


class Log:
    """An access log file. Lines are found by a word that only one request carries."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[str]:
        """Those that are whole: an engine may be just writing the last one."""
        text = self.path.read_text("latin-1") if self.path.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def line(self, word: str, timeout: float = PATIENCE) -> str:
        """The one line with this word; waits for it."""
        found: list[str] = wait_for(lambda: [line for line in self.lines() if word in line], timeout)
        assert len(found) == 1, f"lines with {word!r} in {self.path.name}: {found}"
        return found[0]

    def fields(self, word: str) -> dict[str, str]:
        """A line of the form `a=1<TAB>b=2` as a dict."""
        return dict(part.split("=", 1) for part in self.line(word).split("\t"))


def wait_for(probe: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    """Call until the result is true or the time is up; returns the last result."""
    limit = time.monotonic() + timeout
    while not (found := probe()) and time.monotonic() < limit:
        time.sleep(0.02)
    return found


class Proxy:
    """An engine with its origins, ports, logs and admin.  `concurrency`: how many workers it has."""

    def __init__(self, engine: str, directory: Path, concurrency: int = 1) -> None:
        self.engine = engine
        self.concurrency = concurrency
        self.directory = directory
        self.ports: dict[str, int] = {}
        self.origins: dict[str, Origin] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._full: list[socket.socket] = []
        self._dns: dict[str, DnsPeer] = {}

    # What a configuration asks for, by name; made at the first use.

    def port(self, name: str = "main") -> int:
        if name not in self.ports:
            self.ports[name] = free_port()
        return self.ports[name]

    def origin(self, name: str = "app") -> Origin:
        if name not in self.origins:
            self.origins[name] = Origin()
        return self.origins[name]

    @property
    def dns(self) -> DnsPeer:
        """The DNS server that most tests need."""
        return self.dns_server("main")

    def dns_server(self, name: str) -> DnsPeer:
        if name not in self._dns:
            self._dns[name] = DnsPeer()
        return self._dns[name]

    def full_port(self) -> int:
        """The port of a listener whose queue is full, so that a connection to it is never made."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=0)
        port: int = listening.getsockname()[1]
        self._full.append(listening)
        for _ in range(3):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
            self._full.append(waiting)
        return port

    def log(self, name: str = "main") -> Log:
        return Log(self.directory / f"{name}.log")

    # The process.

    def start(self, config: Config) -> None:
        """Start the engine and wait until admin says ready; raises with its output if it does not."""
        path = self.directory / "config.yaml"
        path.write_text(json.dumps(config, indent=1))  # JSON is YAML in which nothing is a surprise
        output = self.directory / "output.txt"
        with output.open("wb") as sink:
            self.process = subprocess.Popen(
                command(self.engine, path, self.concurrency),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                break
            try:
                if ask(self.port("admin"), "/ready").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.03)
        self.stop()
        raise AssertionError(f"{self.engine} did not start: {why(output)}")

    def stop(self) -> None:
        """End the engine, at once if it still has work to finish, and the origins."""
        process = self.process
        for end in (subprocess.Popen.terminate, subprocess.Popen.terminate, subprocess.Popen.kill):
            if process is None or process.poll() is not None:
                break
            end(process)
            try:
                process.wait(1.5)
            except subprocess.TimeoutExpired:
                continue
        for origin in self.origins.values():
            origin.stop()
        for server in self._dns.values():
            server.stop()
        while self._full:
            self._full.pop().close()

    def may_be_stricter(self, found: object, at_envoy: object, stricter: object) -> None:
        """Where Envoy breaks a MUST of an RFC, twistproxy may do as Envoy does or as the RFC says."""
        allowed = [at_envoy] if self.engine == "envoy" else [at_envoy, stricter]
        assert found in allowed, f"{found!r} is none of {allowed}"

    # Traffic and admin.

    def client(self, name: str = "main", timeout: float = PATIENCE) -> Client:
        return Client(self.port(name), timeout)

    def ask(self, target: str, name: str = "main", **request: Any) -> Response:
        """One request on its own connection to the listener of this name."""
        return ask(self.port(name), target, **request)

    def admin(self, target: str, method: str = "GET") -> Response:
        return ask(self.port("admin"), target, method)

    def admin_json(self, target: str) -> Any:
        response = self.admin(target)
        assert response.status == 200, response
        return json.loads(response.body)

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges by name."""
        page = self.admin_json(f"/stats?format=json&filter={pattern}" if pattern else "/stats?format=json")
        return {each["name"]: each["value"] for each in page["stats"] if "name" in each}

    def stat(self, name: str) -> int:
        return self.stats(f"^{name.replace('.', '%5C.')}$").get(name, 0)

    def stat_becomes(self, name: str, value: int, timeout: float = PATIENCE) -> bool:
        """Whether a statistic reaches a value in time."""
        return bool(wait_for(lambda: self.stat(name) == value, timeout))
