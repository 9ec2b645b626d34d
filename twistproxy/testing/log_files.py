"""Log files in memory."""

from __future__ import annotations


class MemoryLog:
    """`api.access_log.LogSink`."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, data: bytes) -> None:
        self.text += data.decode("utf-8", "surrogateescape")

    @property
    def lines(self) -> list[str]:
        """Without their ends; what follows the last of them too."""
        return self.text.removesuffix("\n").split("\n") if self.text else []


class MemoryLogFiles:
    """`api.access_log.LogFiles`; `files` has each by its path."""

    def __init__(self) -> None:
        self.files: dict[str, MemoryLog] = {}

    def open(self, path: str) -> MemoryLog:
        return self.files.setdefault(path, MemoryLog())
