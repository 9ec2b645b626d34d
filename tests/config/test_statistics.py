"""What the bootstrap says of statistics and of the watchdog."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from twistproxy.config.build import build_bootstrap
from twistproxy.config.types import message_class
from twistproxy.errors import ConfigError
from twistproxy.model.bootstrap import Bootstrap, WatchdogSettings
from twistproxy.model.server_options import ServerOptions


def build(**fields: Any) -> Bootstrap:
    bootstrap = message_class("envoy.config.bootstrap.v3.Bootstrap")
    assert bootstrap is not None
    return build_bootstrap(ParseDict(fields, bootstrap()), ServerOptions())


def problems(**fields: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(**fields)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def test_limits_of_the_watchdog() -> None:
    assert build().watchdog == WatchdogSettings(0.2, 1.0)
    limits = {"miss_timeout": "0.5s", "megamiss_timeout": "3s"}
    assert build(watchdogs={"worker_watchdog": limits}).watchdog == WatchdogSettings(0.5, 3.0)
    assert build(watchdog=limits).watchdog == WatchdogSettings(0.5, 3.0)


def test_the_master_is_not_watched() -> None:
    [problem] = problems(watchdogs={"main_thread_watchdog": {"miss_timeout": "1s"}})
    assert problem.startswith("watchdogs.main_thread_watchdog: ")
