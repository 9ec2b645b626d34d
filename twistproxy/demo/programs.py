"""Starting and ending the programs of the demo."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater

_POLL = 0.05
#: Seconds that a program has to end by itself.
_PATIENCE = 8.0


_T = TypeVar("_T")


class DemoError(Exception):
    """The demo cannot go on; the text says why, for the user."""


async def together(*coroutines: Coroutine[Any, Any, _T]) -> list[_T]:
    """Run them at the same time; the first exception of one ends the others, and is raised."""
    running = [Deferred.fromCoroutine(each) for each in coroutines]
    try:
        return await gatherResults(running, consumeErrors=True)
    except FirstError as e:
        error: Any = e.subFailure.value
        raise error from None
    finally:
        for each in running:
            each.cancel()


def script(name: str) -> str:
    """The path of a command, before all the one that belongs to this interpreter."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None:
        raise DemoError(
            f"the command {name!r} is missing beside {sys.executable}: pip install 'twistproxy[demo]'"
        )
    return found


def free_port() -> int:
    """A free port of loopback, below those that the kernel gives to outgoing connections."""
    for _ in range(1000):
        port = random.randrange(22000, 32000)
        if is_free(port):
            return port
    raise DemoError("no free port on 127.0.0.1")


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Program:
    """One program: its command line, and its process while it runs.

    Output goes to `log`.  It leads a session of its own: Ctrl-C on the terminal is for the demo alone, and whatever the
    program starts can be ended with it.
    """

    def __init__(self, reactor: Any, name: str, command: list[str], cwd: Path, **environ: str) -> None:
        self._reactor = reactor
        self.name = name
        self.command = command
        self.log = cwd / f"{name.replace(' ', '-')}.log"
        self._cwd = cwd
        self._environ = {**os.environ, **environ}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def shown(self) -> str:
        """The command line as a user would type it."""
        return shlex.join([Path(self.command[0]).name, *self.command[1:]])

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and not self._ended()

    @property
    def pid(self) -> int:
        """Its process id; 0 if it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it; `DemoError` if that is not possible."""
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._cwd,
                    env=self._environ,
                    start_new_session=True,
                )
        except OSError as e:
            raise DemoError(f"cannot start {self.command[0]}: {e.strerror}") from None

    async def wait_until(self, ready: Callable[[], Any], seconds: float) -> None:
        """Wait until the coroutine that `ready` makes says true; `DemoError` if the program ends or the time is up."""
        deadline = self._reactor.seconds() + seconds
        while not await ready():
            if not self.running:
                raise DemoError(f"{self.name} has ended:\n{self.tail()}")
            if self._reactor.seconds() > deadline:
                raise DemoError(f"{self.name} is not ready after {seconds:g} s:\n{self.tail()}")
            await deferLater(self._reactor, _POLL)

    async def stop(self) -> None:
        """Ask it to end, and wait until it has; after a while, kill it."""
        if self._process is None:
            return
        if not self._ended():
            os.kill(self._process.pid, signal.SIGTERM)
        deadline = self._reactor.seconds() + _PATIENCE
        while not self._ended() and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, _POLL)
        self.kill()

    def kill(self) -> None:
        """Kill it and whatever is left in its session, at once."""
        if self._process is None:
            return
        # The leader is not reaped yet, so the number of its group cannot belong to anybody else.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def tail(self, lines: int = 12) -> str:
        """The last lines of what it printed."""
        try:
            text = self.log.read_text("utf-8", "replace")
        except OSError:
            text = ""
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (it printed nothing)"

    def _ended(self) -> bool:
        """Looks without reaping."""
        assert self._process is not None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None
