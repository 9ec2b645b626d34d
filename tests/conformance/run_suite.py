"""Runs Twisted's own reactor tests against one reactor and writes what came of each test.

    python run_suite.py each   REACTOR RESULT.json [--skip ID]... [--only ID]...
    python run_suite.py global REACTOR RESULT.json ...

REACTOR is a dotted class name.  `each` runs the tests that make a reactor for themselves (the ReactorBuilder suites):
their modules make one test class for each name in `ReactorBuilder._reactors` when they are imported, so the list is
replaced before.  `global` installs the reactor and runs the tests that use the installed one.

RESULT.json is `{test id: "passed" | "failed" | "skipped" | "todo"}`; the reactor's name is taken out of the ids so
that they are comparable.  Details of failures go to standard error.  Tests write to the current directory.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.python.failure import Failure
from twisted.python.reflect import namedAny
from twisted.trial import reporter, runner


def modules(package: str, *names: str) -> list[str]:
    return [f"{package}.test_{name}" for name in names]


EACH = [
    *modules("twisted.internet.test", "core", "fdset", "time", "threads", "socket", "tcp", "udp", "unix"),
    *modules("twisted.internet.test", "process", "stdio", "tls", "newtls", "endpoints"),
]
GLOBAL = [
    *modules(
        "twisted.test", "internet", "tcp", "tcp_internals", "ssl", "sslverify", "udp", "unix", "process"
    ),
    *modules("twisted.test", "factories", "policies", "threads", "threadpool", "task", "defer"),
    *modules("twisted.internet.test", "endpoints", "default", "address", "resolver", "inotify"),
    *modules("twisted.web.test", "http", "http2", "agent", "webclient", "proxy"),
    "twisted.protocols.haproxy.test",
    "twisted.protocols.test.test_tls",
]
#: Seconds until Twisted's suites give a test up.
TEST_TIMEOUT = 20


class Outcomes(reporter.TestResult):
    """Remembers the worst outcome of each test."""

    def __init__(self, reactor_name: str) -> None:
        super().__init__()
        self._suffix = f"_{reactor_name}Tests"
        self.of: dict[str, str] = {}

    def plain_id(self, test: unittest.TestCase) -> str:
        return test.id().replace(self._suffix, "")

    def _note(self, test: Any, outcome: str) -> None:
        self.of[self.plain_id(test)] = outcome

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self._note(test, "passed")

    def addSkip(self, test: Any, reason: Any) -> None:
        self._note(test, "skipped")

    def addExpectedFailure(self, test: Any, error: Any, todo: Any = None) -> None:
        self._note(test, "todo")

    def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
        self._note(test, "passed")

    def addFailure(self, test: Any, fail: Any) -> None:
        self.addError(test, fail)

    def addError(self, test: Any, error: Any) -> None:
        self._note(test, "failed")
        failure = error if isinstance(error, Failure) else Failure(error[1], error[0], error[2])
        sys.stderr.write(f"FAILED {test.id()}\n{failure.getTraceback()}\n")


def load_each(dotted: str) -> list[str]:
    """Prepare for the ReactorBuilder suites: they put their reactor in the place of an installed one."""
    from twisted.internet import selectreactor

    selectreactor.install()
    from twisted.internet.test import reactormixins

    reactormixins.ReactorBuilder._reactors = [dotted]
    reactormixins.DEFAULT_TIMEOUT_DURATION = TEST_TIMEOUT
    return EACH


def load_global(dotted: str) -> list[str]:
    from twisted.internet.main import installReactor

    installReactor(namedAny(dotted)())
    return GLOBAL


def flat(suite: Any) -> Iterator[Any]:
    """The single tests of a suite."""
    try:
        members = iter(suite)
    except TypeError:
        yield suite
    else:
        for member in members:
            yield from flat(member)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=("each", "global"))
    parser.add_argument("reactor")
    parser.add_argument("result", type=Path)
    parser.add_argument("--skip", action="append", default=[])
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    load = load_each if options.suite == "each" else load_global
    outcomes = Outcomes(options.reactor.rpartition(".")[2])
    loader = runner.TestLoader()
    tests = [test for module in load(options.reactor) for test in flat(loader.loadByName(module, True))]
    for test in tests:
        if isinstance(test, runner.ErrorHolder):
            raise SystemExit(f"cannot load {test.id()}: {test.error}")
        if options.suite == "each" and getattr(test, "reactorFactory", None) is None:
            continue  # needs no reactor
        name = outcomes.plain_id(test)
        if name in options.skip or (options.only and name not in options.only):
            continue
        test.run(outcomes)
        gc.collect()  # reactors of earlier tests, and their descriptors
    options.result.write_text(json.dumps(outcomes.of, indent=0, sort_keys=True))


if __name__ == "__main__":
    main()
