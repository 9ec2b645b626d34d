"""Counted pause and resume of one source."""

from __future__ import annotations

from typing import Protocol


class Pausable(Protocol):
    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...


class ReadGate:
    """Two reasons may pause one source; it flows again when both are gone (Envoy: `Stream::readDisable`)."""

    __slots__ = ("_pauses", "_source")

    def __init__(self, source: Pausable) -> None:
        self._source = source
        self._pauses = 0

    def pause(self) -> None:
        self._pauses += 1
        if self._pauses == 1:
            self._source.pauseProducing()

    def resume(self) -> None:
        assert self._pauses > 0
        self._pauses -= 1
        if self._pauses == 0:
            self._source.resumeProducing()
