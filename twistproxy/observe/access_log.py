"""Access log formats (Envoy: docs/root/configuration/observability/access_log/usage)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twistproxy.observe.log_operators import Clocks, FormatError, Operator, operator

__all__ = ["DEFAULT_FORMAT", "Clocks", "FormatError", "compile_format"]

#: Envoy's default format string.
DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'
)

_COMMAND = re.compile(r"%(?:%|([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%)", re.DOTALL)


def compile_format(text: str, clocks: Clocks, missing: str = "-") -> Callable[[Any], str]:
    """A function from a stream to its log text; `missing` stands where it has no value.

    Raises `FormatError` for an operator that does not exist.
    """
    parts: list[str | Operator] = []
    at = 0
    for match in _COMMAND.finditer(text):
        literal = text[at : match.start()]
        _check_literal(literal)
        parts.append(literal)
        at = match.end()
        name, argument, limit = match.groups()
        parts.append("%" if name is None else _limited(operator(name, argument, clocks), limit))
    _check_literal(text[at:])
    parts.append(text[at:])
    joined = [part for part in parts if part != ""]

    def render(stream: Any) -> str:
        return "".join([part if isinstance(part, str) else (part(stream) or missing) for part in joined])

    return render


def _check_literal(literal: str) -> None:
    if "%" in literal:
        raise FormatError(f"couldn't find a valid command after {literal[: literal.index('%') + 1]!r}")


def _limited(of: Operator, limit: str | None) -> Operator:
    if limit is None:
        return of
    most = int(limit)

    def cut(stream: Any) -> str | None:
        value = of(stream)
        return value if value is None else value[:most]

    return cut
