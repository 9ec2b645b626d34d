"""Counted pauses."""

from __future__ import annotations

from twistproxy.primitives.read_gate import ReadGate


class Source:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")


def test_reading_resumes_when_every_reason_is_gone() -> None:
    source = Source()
    gate = ReadGate(source)
    gate.pause()
    gate.pause()
    gate.resume()
    assert source.calls == ["pause"]
    gate.resume()
    gate.pause()
    assert source.calls == ["pause", "resume", "pause"]
