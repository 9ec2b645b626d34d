"""Progress: a live line for each run on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TextIO


class Progress:
    """Counts runs up to `total` and tells `stream` about each: while it goes (terminals only) and when it is
    done.
    """

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._total = total
        self._count = 0

    def note(self, text: str) -> None:
        """A line of its own."""
        self._erase()
        print(text, file=self._stream, flush=True)

    @contextlib.contextmanager
    def run(self, title: str, expected_s: float) -> Iterator[list[str]]:
        """While one run goes on.  What the caller puts into the list yielded ends up behind the title."""
        self._count += 1
        place = f"[{self._count:{len(str(self._total))}}/{self._total}] {title}"
        outcome: list[str] = []
        ended = threading.Event()
        painter = threading.Thread(target=self._paint, args=(place, expected_s, ended), daemon=True)
        if self._live:
            painter.start()
        try:
            yield outcome
        except BaseException:
            outcome[:] = ["did not finish"]
            raise
        finally:
            ended.set()
            if self._live:
                painter.join()
            self.note(f"{place}  {' '.join(outcome)}".rstrip())

    def _paint(self, place: str, expected_s: float, ended: threading.Event) -> None:
        start = time.monotonic()
        while True:
            passed = time.monotonic() - start
            filled = min(10, int(10 * passed / expected_s)) if expected_s else 10
            bar = "#" * filled + "." * (10 - filled)
            self._stream.write(f"\r\x1b[K{place}  [{bar}] {passed:3.0f} s")
            self._stream.flush()
            if ended.wait(0.25):
                return

    def _erase(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
