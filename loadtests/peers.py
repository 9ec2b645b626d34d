"""The proxies that are compared: how each is installed, configured and started."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from loadtests import configs
from loadtests.processes import ProcessUnderTest
from loadtests.tools import ROOT, find_program, first_line, free_ports


@dataclass(frozen=True)
class Peer:
    """One proxy.  `program` must be installed; `one_process` marks those that cannot use several workers."""

    name: str
    program: str
    one_process: bool = False

    def version(self) -> str:
        """What the program says of itself."""
        if self.name == "twisted.web.proxy":
            return first_line([sys.executable, "-c", "import twisted; print('Twisted', twisted.__version__)"])
        if self.name == "twistproxy":
            code = "import importlib.metadata as m; print('twistproxy', m.version('twistproxy'))"
            return first_line([sys.executable, "-c", code])
        return first_line([find_program(self.program), "--version" if self.program == "envoy" else "-v"])


PEERS = {
    peer.name: peer
    for peer in (
        Peer("twistproxy", "twistd"),
        Peer("envoy", "envoy"),
        Peer("nginx", "nginx"),
        Peer("haproxy", "haproxy"),
        Peer("twisted.web.proxy", "twistd", one_process=True),
    )
}


@dataclass(frozen=True)
class RunningPeer:
    """A started proxy and the port it listens on."""

    process: ProcessUnderTest
    port: int


def _command(
    peer: Peer,
    directory: Path,
    port: int,
    admin_port: int,
    origin_port: int,
    workers: int,
    virtual_hosts: str,
) -> list[str]:
    """Write the peer's configuration into `directory`; return its command line."""
    count = str(workers)
    if peer.name in ("envoy", "twistproxy"):
        file = directory / f"{peer.name}-{count}.yaml"
        file.write_text(configs.envoy_v3(port, admin_port, origin_port, virtual_hosts))
        if peer.name == "envoy":
            envoy = [find_program("envoy"), "--config-path", str(file), "--concurrency", count]
            return [*envoy, "--disable-hot-restart", "--log-level", "error"]
        twistd = [find_program("twistd"), "-n", "--pidfile=", "twistproxy"]
        return [*twistd, "--config", str(file), "--concurrency", count]
    if peer.name == "nginx":
        file = directory / f"nginx-{count}.conf"
        file.write_text(configs.nginx(directory, port, origin_port, workers))
        return [find_program("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(file)]
    if peer.name == "haproxy":
        file = directory / f"haproxy-{count}.cfg"
        file.write_text(configs.haproxy(port, origin_port, workers))
        return [find_program("haproxy"), "-db", "-q", "-f", str(file)]
    return [sys.executable, "-m", "loadtests.twisted_web_proxy", str(port), str(origin_port)]


def start_peer(
    peer: Peer,
    directory: Path,
    origin_port: int,
    core: int,
    workers: int = 1,
    virtual_hosts: str = configs.ONE_ROUTE,
) -> RunningPeer:
    """Start `peer` on `core` in front of the origin and wait until it passes requests on.

    `virtual_hosts`: for Envoy and twistproxy only, see `configs.envoy_v3`.
    """
    port, admin_port = free_ports(2)
    command = _command(peer, directory, port, admin_port, origin_port, workers, virtual_hosts)
    log = directory / f"{peer.name}-{workers}.log"
    process = ProcessUnderTest(peer.name, command, core, log, ROOT)
    try:
        process.wait_until_serving(port, "/1k")
    except BaseException:
        process.stop()
        raise
    return RunningPeer(process, port)


def start_origin(directory: Path, core: int | None) -> RunningPeer:
    """Start the origin on `core` and wait until it answers."""
    for size in configs.ANSWER_SIZES.values():
        (directory / f"{size}.bin").write_bytes(b"x" * size)
    (port,) = free_ports(1)
    file = directory / "origin.conf"
    file.write_text(configs.origin_nginx(directory, port))
    command = [find_program("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(file)]
    process = ProcessUnderTest("origin", command, core, directory / "origin.log", ROOT)
    try:
        process.wait_until_serving(port, "/1k")
    except BaseException:
        process.stop()
        raise
    return RunningPeer(process, port)
