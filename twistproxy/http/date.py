"""The text of the Date header, made once a second (RFC 9110 section 5.6.7)."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class DateText:
    """`at(now)` → b"Sun, 06 Nov 1994 08:49:37 GMT"; `now` is wall time in seconds since the epoch."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def at(self, now: float) -> bytes:
        second = int(now)
        if second != self._second:
            moment = datetime.fromtimestamp(second, UTC)
            month = calendar.month_abbr[moment.month]
            self._text = f"{_DAYS[moment.weekday()]}, {moment:%d} {month} {moment:%Y %H:%M:%S} GMT".encode()
            self._second = second
        return self._text
