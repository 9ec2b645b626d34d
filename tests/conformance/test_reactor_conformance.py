"""Twisted's own reactor tests, on our reactor and beside it on Twisted's epoll reactor.

A test that passes on `EPollReactor` on this machine has to pass on `TwistproxyReactor`; what fails on both is the
machine's doing (`test_changeUID` where the interpreter is unreadable to other users).  All else that differs is
listed here.

What these tests do not show, known differences of `TwistproxyReactor` from Twisted's reactors:

===================================  ==================================================================================
Twisted                              here
===================================  ==================================================================================
`write` collects until the turn ends  each `write` is sent at once: join small pieces
TCP_NODELAY is off until asked for    it is on from the start (see above); `getTcpNoDelay` tells what was asked for
a log context around `dataReceived`   only if the protocol (or a wrapper such as TLS) has a `logPrefix` of its own
`adoptStreamConnection`: at once      `connectionMade` comes in the next turn of the loop
`connectionLost`: socket is closed    the socket is closed right after it
a paused producer per `write`         `pauseProducing` once, when the buffer grows over the mark
Unix sockets pass descriptors         those of protocols with `direct_delivery` do not; all others are Twisted's own
`iterate` inside a callback           not possible: libuv's loop cannot be entered twice
===================================  ==================================================================================
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

OURS = "twistproxy.transport.reactor.TwistproxyReactor"
TWISTEDS = "twisted.internet.epollreactor.EPollReactor"
RUNNER = Path(__file__).with_name("run_suite.py")
ROOT = Path(__file__).parents[2]

#: Tests that are not run on our reactor, with the reason.
NOT_RUN = {
    "twisted.internet.test.test_fdset.ReactorFDSetTestsBuilder.test_lostFileDescriptor": (
        "Twisted skips it on EPollReactor (by the name of the class): closing a descriptor takes it out of an epoll "
        "set without a sign.  Ours keeps added descriptors in an epoll set, too."
    ),
}


class Run:
    """One run of a suite on a reactor, in a process and a directory of its own."""

    def __init__(self, suite: str, reactor: str, directory: Path, *options: str) -> None:
        directory.mkdir()
        self._result = directory / "result.json"
        self._errors = directory / "errors"
        command = [sys.executable, str(RUNNER), suite, reactor, str(self._result), *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=errors
            )

    def outcomes(self, timeout: float) -> dict[str, str]:
        """`{test id: outcome}`."""
        try:
            status = self._process.wait(timeout)
        finally:
            self._process.kill()
            self._process.wait()
        assert status == 0, self.errors()[-4000:]
        outcomes: dict[str, str] = json.loads(self._result.read_text())
        return outcomes

    def errors(self) -> str:
        return self._errors.read_text(errors="replace")


def compare(suite: str, directory: Path, at_least: int, timeout: float) -> None:
    """Run `suite` on both reactors side by side.  What is lost gets a second chance alone: some tests take a free
    port and bind it later, some measure time."""
    twisteds_run = Run(suite, TWISTEDS, directory / "epoll")
    skips = [option for test in NOT_RUN for option in ("--skip", test)]
    ours_run = Run(suite, OURS, directory / "ours", *skips)
    twisteds = twisteds_run.outcomes(timeout)
    ours = ours_run.outcomes(timeout)
    passed = {test for test, outcome in twisteds.items() if outcome == "passed"}
    assert len(passed) >= at_least, "the suite was not really run"

    lost = sorted(test for test in passed if ours.get(test) != "passed")
    details = ours_run.errors()
    if lost:
        again = Run(
            suite, OURS, directory / "again", *(option for test in lost for option in ("--only", test))
        )
        ours |= again.outcomes(timeout)
        details += again.errors()
        lost = [test for test in lost if ours.get(test) != "passed"]
    assert not lost, details[-8000:]

    not_run = {test for test in twisteds if test not in ours}
    skipped = {test for test, outcome in ours.items() if outcome == "skipped" != twisteds.get(test)}
    assert not_run | skipped <= set(NOT_RUN)


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_the_suites_that_make_a_reactor_for_each_test(tmp_path: Path) -> None:
    compare("each", tmp_path, at_least=290, timeout=280)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_suites_that_use_the_installed_reactor(tmp_path: Path) -> None:
    compare("global", tmp_path, at_least=1500, timeout=850)
