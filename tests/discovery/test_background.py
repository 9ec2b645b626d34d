from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import Any

from twistproxy.discovery.background import Background


class Reactor:
    """Results come back by `callFromThread`, here at once."""

    def callFromThread(self, function: Any, *args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)


def nice() -> tuple[int, int]:
    number = threading.get_native_id()
    return number, os.getpriority(os.PRIO_PROCESS, number)


def test_what_is_done_in_the_background_lets_others_go_first() -> None:
    background = Background(Reactor())
    before = nice()
    results = []
    for urgent in (True, False):
        done: Future[tuple[int, int]] = Future()
        background.run(nice, urgent).addCallback(done.set_result)
        results.append(done.result(10))
    background.stop()
    (first, at_first), (then, afterwards) = results
    assert first != before[0]
    assert first == then
    assert at_first == before[1]
    assert afterwards > at_first
    assert nice() == before
