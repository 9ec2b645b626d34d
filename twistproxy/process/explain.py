"""What would happen to a request, and why: the engine behind `/explain` and `twistproxy explain`.

The question goes through the real thing: the bytes of the request are fed to a connection of the listener's own
connection manager, with its codec, its header rules and its routes.  Only the last filter is another one: where the
router would send the request on, `_Explaining` looks at what it would do and writes that down.  Nothing is counted,
logged or sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from twistproxy.api.transport import FlowControl
from twistproxy.http.headers import Header
from twistproxy.model.address import TcpAddress


@dataclass(frozen=True, slots=True)
class Question:
    """A request that somebody wonders about.

    listener  its name; "" stands for the first one
    source    the address that it comes from
    """

    path: str
    host: str = ""
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    listener: str = ""
    source: str = "127.0.0.1"

    @classmethod
    def from_json(cls, question: dict[str, Any]) -> Question:
        return cls(
            question["path"],
            question.get("host", ""),
            question.get("method", "GET"),
            tuple((name, value) for name, value in question.get("headers", ())),
            question.get("listener", ""),
            question.get("from", "127.0.0.1"),
        )

    def as_bytes(self) -> bytes:
        """The request, as HTTP/1.1 sends it."""
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in self.headers):
            lines.append(f"host: {self.host}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
