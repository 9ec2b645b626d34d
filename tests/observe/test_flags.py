"""Response flags as text."""

from __future__ import annotations

from twistproxy.observe import flags


def test_text() -> None:
    assert flags.flag_text(0) == "-"
    assert flags.flag_text(flags.UC) == "UC"
    assert flags.flag_text(flags.DC | flags.UT) == "UT,DC"
