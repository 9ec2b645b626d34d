"""The command line of `twistproxy demo`, and its beginning and end."""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react

from twistproxy.demo.client import Client
from twistproxy.demo.fleet import Fleet
from twistproxy.demo.programs import DemoError
from twistproxy.demo.screen import Screen
from twistproxy.demo.story import Story, addresses

_COPIES = 4
#: Seconds between the parts, so that a reader can follow.
_PAUSE = 1.0


def main(argv: list[str]) -> int:
    """Run the demo; the exit status.  0: every step held, or the user ended it."""
    options = _parse(argv)
    if importlib.util.find_spec("flask") is None:
        print("twistproxy demo: Flask is missing: pip install 'twistproxy[demo]'", file=sys.stderr)
        return 1
    demo = _Demo(options.check, options.port)
    try:
        react(demo.run, ())
    except SystemExit as e:
        return int(e.code or 0) or demo.status
    return demo.status


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="twistproxy demo",
        description="Runs a registry, four Flask copies each behind its own sidecar, and an edge on loopback, "
        "scales the service down and up, kills a copy, and keeps running until Ctrl-C.",
    )
    parser.add_argument(
        "--check", action="store_true", help="end after the last step; status 0 only if all held"
    )
    parser.add_argument("--port", type=int, default=0, help="the edge's port (default: a free one)")
    options = parser.parse_args(argv)
    if not 0 <= options.port <= 65535:
        parser.error(f"--port {options.port}: a port is expected")
    return options


class _Demo:
    """One run.  `status` is the exit status, once it is over."""

    def __init__(self, check: bool, port: int) -> None:
        self._check = check
        self._port = port
        self._screen = Screen()
        self._ended = False
        self.status = 0

    def run(self, reactor: Any) -> Deferred[None]:
        """The whole run, from an empty directory back to none."""
        client = Client(reactor)
        running = Deferred.fromCoroutine(self._run(reactor, client))

        def ask_to_end() -> Deferred[None]:
            """Ctrl-C or SIGTERM: the reactor waits until everything is cleaned up."""
            if not self._ended:
                # Everything is on its way out: asking again does not make it faster.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                client.ending = True
                running.cancel()
            return running

        reactor.addSystemEventTrigger("before", "shutdown", ask_to_end)
        return running

    async def _run(self, reactor: Any, client: Client) -> None:
        fleet = None
        with tempfile.TemporaryDirectory(prefix="twistproxy-demo-", ignore_cleanup_errors=True) as directory:
            try:
                await deferLater(reactor, 0)  # from here on the reactor runs, and signals come to ask_to_end
                fleet = Fleet(reactor, Path(directory), client, _COPIES, self._port)
                await self._play(reactor, fleet, client)
            except CancelledError:
                self._screen.say()
                self.status = 1 if self._check else 0
            except DemoError as e:
                print(f"twistproxy demo: {e}", file=sys.stderr)
                self.status = 1
            finally:
                if fleet is not None:
                    self._screen.say("ending all programs")
                    await fleet.stop()
                await client.close()
                self._ended = True
        if self._screen.failed:
            self.status = 1

    async def _play(self, reactor: Any, fleet: Fleet, client: Client) -> None:
        screen = self._screen
        screen.title("Starting (each as you would start it)")
        for program in fleet.programs:
            screen.command(program.shown, program.name)
        await fleet.start()
        addresses(fleet, screen)
        story = Story(reactor, fleet, client, screen, 0.0 if self._check else _PAUSE)
        await story.tell()
        if screen.failed:
            screen.title(f"{len(screen.failed)} steps did not hold:")
            for text in screen.failed:
                screen.say(text)
        elif self._check:
            screen.title("Every step held.")
        if not self._check:
            addresses(fleet, screen)
            screen.title("Everything keeps running until Ctrl-C.")
            await story.watch()
