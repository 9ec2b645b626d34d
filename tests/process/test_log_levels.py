from __future__ import annotations

import pytest
from twisted.logger import Logger, globalLogPublisher

from twistproxy.process.log_levels import LEVELS, LOGGERS, LinkObserver, LogLevels, observe_with


def test_levels_are_ordered() -> None:
    for number, level in enumerate(LEVELS):
        levels = LogLevels(level)
        for other_number, other in enumerate(LEVELS[:-1]):
            assert levels.allows("twistproxy.worker", other) == (other_number >= number)


def test_each_logger_has_its_own_level() -> None:
    levels = LogLevels("info")
    levels.set("worker", "debug")
    assert levels.allows("twistproxy.worker", "debug")
    assert levels.allows("twistproxy.worker.part", "debug")
    assert not levels.allows("twistproxy.master", "debug")
    assert set(levels.as_dict()) == set(LOGGERS)


def test_twisted_is_quiet_unless_debugging() -> None:
    assert not LogLevels("info").allows("twisted.internet.tcp.Port", "info")
    assert LogLevels("info").allows("twisted.internet.tcp.Port", "warning")
    assert LogLevels("debug").allows("twisted.internet.tcp.Port", "info")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        LogLevels("info").set("nobody", "info")
    with pytest.raises(ValueError, match="loud"):
        LogLevels("info").set("worker", "loud")


@pytest.fixture
def _observers() -> object:
    before = list(globalLogPublisher._observers)
    yield
    for observer in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(observer)
    for observer in before:
        globalLogPublisher.addObserver(observer)


@pytest.mark.usefixtures("_observers")
def test_lines_of_a_child_are_sent_formatted_and_dropped_when_nobody_reads() -> None:
    sent: list[tuple[str, str, str]] = []
    queued = [0]
    levels = LogLevels("info")
    observe_with(LinkObserver(lambda *line: sent.append(line), lambda: queued[0]), levels)
    log = Logger(namespace="twistproxy.worker")
    log.debug("not this")
    log.warn("{what} is up", what="something")
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        log.failure("it failed")
    queued[0] = 10**9
    log.error("nor this")
    assert sent[0] == ("warning", "twistproxy.worker", "something is up")
    assert sent[1][:2] == ("critical", "twistproxy.worker")
    assert "RuntimeError: broken" in sent[1][2]
    assert len(sent) == 2
