"""Explanations of a configuration that is not running: its data plane is built, and has nothing to do with traffic."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twistproxy.model.server_options import ServerOptions
from twistproxy.process.configuration import load_configuration
from twistproxy.process.trial import Connector, Never
from twistproxy.process.wiring import Runtime


def explain_offline(options: ServerOptions, question: dict[str, Any]) -> dict[str, Any]:
    """As `Runtime.explain`.  ConfigError if the configuration is none.  Hosts that discovery would find are not known."""
    runtime = Runtime(_WallClock(), Connector(), _NoLogs(), options)
    runtime.apply(load_configuration(options).bootstrap)
    return runtime.explain(question)


class _WallClock:
    """`api.clock.Clock` without a reactor: nothing comes due while one question is answered."""

    monotonic = staticmethod(time.monotonic)  # noqa: TID251 - there is no reactor to have a clock
    wall = staticmethod(time.time)  # noqa: TID251

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any) -> Never:
        return Never()


class _NoLogs:
    """`api.access_log.LogFiles`: nothing is opened."""

    def open(self, path: str) -> _NoLog:
        return _NoLog()


class _NoLog:
    def write(self, data: bytes) -> None: ...
