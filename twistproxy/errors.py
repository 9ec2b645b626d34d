"""The exceptions that cross package borders.  On the request path there are none: see `api.codec.ResetReason`."""

from __future__ import annotations

from dataclasses import dataclass


class TwistproxyError(Exception):
    """Base of every error that this program raises on purpose."""


class StartError(TwistproxyError):
    """Something keeps the program from starting.  `str()` of it is the one line that the user sees."""


class RemoteProtocolError(TwistproxyError):
    """The other side broke a protocol.  `status_hint` is the HTTP status that describes it to a downstream."""

    def __init__(self, message: str, status_hint: int = 400) -> None:
        super().__init__(message)
        self.status_hint = status_hint


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong in a configuration.

    file, line, column  where in the user's own text (1-based; 0 and "" where it has no place, as for xDS)
    path                e.g. `static_resources.listeners[0].address`
    message             what is wrong, what was expected, and a "did you mean" where there is one
    """

    path: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = (
            f"{self.file}:{self.line}:{self.column}: "
            if self.line
            else (f"{self.file}: " if self.file else "")
        )
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class ConfigError(TwistproxyError):
    """A configuration that cannot be used: all of its problems at once, in the order of the text."""

    def __init__(self, problems: list[ConfigProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))
