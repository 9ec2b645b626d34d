"""Access log formats (Envoy: docs/root/configuration/observability/access_log/usage)."""

from __future__ import annotations

import os
import platform
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import VERSION_TEXT
from twistproxy.observe.flags import flag_text

#: Envoy's default format string.
DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'
)

#: A value of a stream as text, None where it has none (written as "-").
Operator = Callable[[Any], str | None]

_COMMAND = re.compile(r"%(?:%|([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%)", re.DOTALL)
_HOSTNAME = platform.node()


class FormatError(ValueError):
    """A format string that Envoy would refuse."""


class Clocks:
    """What turns a monotonic time of a stream into wall time."""

    __slots__ = ("monotonic", "wall")

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.wall = wall
        self.monotonic = monotonic

    def wall_at(self, moment: float) -> float:
        return self.wall() - (self.monotonic() - moment)


def compile_format(text: str, clocks: Clocks) -> Callable[[Any], str]:
    """A function from a stream to its log text.  Raises `FormatError` for an operator that does not exist."""
    parts: list[str | Operator] = []
    at = 0
    for match in _COMMAND.finditer(text):
        literal = text[at : match.start()]
        _check_literal(literal)
        parts.append(literal)
        at = match.end()
        name, argument, limit = match.groups()
        parts.append("%" if name is None else _limited(_operator(name, argument, clocks), limit))
    _check_literal(text[at:])
    parts.append(text[at:])
    joined = [part for part in parts if part != ""]

    def render(stream: Any) -> str:
        return "".join([part if isinstance(part, str) else (part(stream) or "-") for part in joined])

    return render


def _check_literal(literal: str) -> None:
    if "%" in literal:
        raise FormatError(f"couldn't find a valid command after {literal[: literal.index('%') + 1]!r}")


def _limited(operator: Operator, limit: str | None) -> Operator:
    if limit is None:
        return operator
    most = int(limit)

    def cut(stream: Any) -> str | None:
        value = operator(stream)
        return value if value is None else value[:most]

    return cut


def _operator(name: str, argument: str | None, clocks: Clocks) -> Operator:
    if name in ("REQ", "RESP", "TRAILER"):
        if not argument:
            raise FormatError(f"%{name}% needs a header name")
        return _header(name, argument)
    if name == "START_TIME":
        return _start_time(argument, clocks)
    if name == "ENVIRONMENT":
        value = os.environ.get(argument or "")
        return lambda stream: value
    if argument is not None:
        raise FormatError(f"%{name}% takes no argument")
    try:
        return _SIMPLE[name]
    except KeyError:
        raise FormatError(f"not supported field in the format: {name}") from None


def _header(kind: str, argument: str) -> Operator:
    names = [name.strip().lower().encode() for name in argument.split("?")]
    if kind == "TRAILER":
        return lambda stream: None

    def of(stream: Any) -> str | None:
        head: HeaderMap | None = stream.head if kind == "REQ" else stream.response
        if head is None:
            return None
        for name in names:
            value = _pseudo(stream, name) if name[:1] == b":" else head.get(name)
            if value:
                return value.decode("utf-8", "backslashreplace")
        return None

    return of


def _pseudo(stream: Any, name: bytes) -> bytes | None:
    if name == b":status":
        return None if stream.response is None else b"%d" % stream.response.status
    head = stream.head
    value: bytes | None = {
        b":method": head.method,
        b":path": head.path,
        b":authority": head.authority,
        b":scheme": head.scheme,
    }.get(name)
    return value


_FRACTION = re.compile(r"%([1-9]?)(f|\*f)")


def _start_time(argument: str | None, clocks: Clocks) -> Operator:
    """`%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%`: strftime, with %s, %f, %3f, %6f … as in Envoy."""
    if not argument:

        def iso(stream: Any) -> str:
            moment = clocks.wall_at(stream.start)
            return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S}.{int(moment * 1000) % 1000:03d}Z"

        return iso

    def custom(stream: Any) -> str:
        moment = clocks.wall_at(stream.start)
        nanoseconds = f"{int((moment % 1) * 1e9):09d}"
        text = _FRACTION.sub(lambda match: nanoseconds[: int(match.group(1) or 9)], argument)
        text = text.replace("%s", str(int(moment)))
        return datetime.fromtimestamp(moment, UTC).strftime(text)

    return custom


def _milliseconds(since: float, until: float) -> str | None:
    return str(int((until - since) * 1000)) if until else None


def _remote(stream: Any) -> str:
    text: str = stream.connection.remote_text
    return text


def _port(text: str) -> str:
    return text.rpartition(":")[2]


def _without_port(text: str) -> str:
    return text.rpartition(":")[0].strip("[]") or text


def _upstream_host(stream: Any) -> str | None:
    return None if stream.host is None else stream.host.address_text


def _upstream_host_name(stream: Any) -> str | None:
    return None if stream.host is None else stream.host.endpoint.hostname or stream.host.address_text


def _upstream_local(stream: Any) -> str | None:
    connection = stream.upstream_connection
    if connection is None:
        return None
    address = connection.transport.getHost()
    return f"{address.host}:{address.port}" if hasattr(address, "port") else None


def _quoted_details(stream: Any) -> str | None:
    return stream.details.replace(" ", "_") or None


_SIMPLE: dict[str, Operator] = {
    "PROTOCOL": lambda s: VERSION_TEXT[s.head.version],
    "RESPONSE_CODE": lambda s: "0" if s.response is None else str(s.response.status),
    "RESPONSE_CODE_DETAILS": _quoted_details,
    "CONNECTION_TERMINATION_DETAILS": lambda s: None,
    "RESPONSE_FLAGS": lambda s: flag_text(s.flags),
    "BYTES_RECEIVED": lambda s: str(s.bytes_received),
    "BYTES_SENT": lambda s: str(s.bytes_sent),
    "DURATION": lambda s: _milliseconds(s.start, s.end),
    "REQUEST_DURATION": lambda s: _milliseconds(s.start, s.request_ended_at),
    "RESPONSE_DURATION": lambda s: _milliseconds(s.start, s.response_at),
    "RESPONSE_TX_DURATION": lambda s: _milliseconds(s.response_at, s.end) if s.response_at else None,
    "UPSTREAM_HOST": _upstream_host,
    "UPSTREAM_HOST_NAME": _upstream_host_name,
    "UPSTREAM_REMOTE_ADDRESS": _upstream_host,
    "UPSTREAM_CLUSTER": lambda s: s.cluster or None,
    "UPSTREAM_CLUSTER_RAW": lambda s: s.cluster or None,
    "UPSTREAM_LOCAL_ADDRESS": _upstream_local,
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": lambda s: "0" if s.host is None else "1",
    "UPSTREAM_TRANSPORT_FAILURE_REASON": lambda s: s.failure.replace(" ", "_") or None,
    "DOWNSTREAM_REMOTE_ADDRESS": _remote,
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": lambda s: _without_port(s.connection.remote_text),
    "DOWNSTREAM_REMOTE_PORT": lambda s: _port(s.connection.remote_text),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": _remote,
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": lambda s: _without_port(s.connection.remote_text),
    "DOWNSTREAM_DIRECT_REMOTE_PORT": lambda s: _port(s.connection.remote_text),
    "DOWNSTREAM_LOCAL_ADDRESS": lambda s: s.connection.local_text,
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": lambda s: _without_port(s.connection.local_text),
    "DOWNSTREAM_LOCAL_PORT": lambda s: _port(s.connection.local_text),
    "ROUTE_NAME": lambda s: None if s.route is None else s.route.name or None,
    "HOSTNAME": lambda s: _HOSTNAME,
    "UNIQUE_ID": lambda s: str(uuid.uuid4()),
}
