"""Operators of access log formats that tell times and durations."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from twistproxy.observe.log_syntax import Clocks, FormatError, Operator, Spec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Beyond strftime's: %s, %f with a digit for the precision (Envoy), and absl's %E3S, %E*S, %E3f, %E4Y, %Ez, %ET, %:z.
_SPECIAL = re.compile(r"%(?:(%)|E?(s)|([1-9]?)f|(\*f)|E(\d{1,4}|\*)([Sf])|(E4Y|ET|Ez|:z))")
_NEWLINE = re.compile(r"%[-_0^#]*[1-9]*[EO]?n")


def _start_time(argument: str, clocks: Clocks, zone: tzinfo | None = UTC) -> Operator:
    return _time(argument, lambda stream: clocks.wall_at(stream.start), zone)


def _emit_time(argument: str, clocks: Clocks, zone: tzinfo | None = UTC) -> Operator:
    return _time(argument, lambda stream: clocks.wall(), zone)


def _time(argument: str, moment_of: Callable[[Any], float], zone: tzinfo | None) -> Operator:
    """`%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%`: strftime with a few more, in UTC or (zone None) local time."""
    if _NEWLINE.search(argument):
        raise FormatError("Invalid header configuration. Format string contains newline.")
    if argument:
        return lambda stream: _custom(argument, moment_of(stream), zone)
    known_second = -1
    known_text = ""

    def iso(stream: Any) -> str:
        # Most lines are written in the same second as the one before.
        nonlocal known_second, known_text
        moment = moment_of(stream)
        second = int(moment)
        if second != known_second:
            known_text = f"{_date(second, zone):%Y-%m-%dT%H:%M:%S}."
            known_second = second
        return f"{known_text}{int((moment - second) * 1000):03d}{ending(second)}"

    def ending(second: int) -> str:
        return "Z" if zone is UTC else f"{_date(second, zone):%z}"

    return iso


def _date(second: int, zone: tzinfo | None) -> datetime:
    moment = _EPOCH + timedelta(seconds=second)
    return moment if zone is UTC else moment.astimezone(zone)


def _custom(form: str, moment: float, zone: tzinfo | None) -> str:
    second = int(moment)
    digits = f"{int((moment - second) * 1e6):06d}000"
    date = _date(second, zone)

    def special(match: re.Match[str]) -> str:
        percent, seconds, precision, trimmed, width, kind, other = match.groups()
        if percent:
            return "%%"
        if seconds:
            return str(second)
        if precision is not None:
            return digits[: int(precision or 9)]
        if trimmed:
            return digits.rstrip("0") or "0"
        if other:
            return _of_absl(other, date)
        fraction = digits.rstrip("0") if width == "*" else (digits + "0" * 9)[: int(width)]
        if kind == "f":
            return fraction or "0"
        return f"{date:%S}.{fraction}" if fraction else f"{date:%S}"

    return date.strftime(_SPECIAL.sub(special, form))


def _of_absl(kind: str, date: datetime) -> str:
    if kind == "E4Y":
        return f"{date.year:04d}"
    if kind == "ET":
        return "T"
    offset = f"{date:%z}"
    return f"{offset[:3]}:{offset[3:]}"


# ---- durations


def milliseconds(since: float, until: float) -> int | None:
    """Whole milliseconds between two monotonic times, None if the later has not come."""
    return int((until - since) * 1000) if until else None


def duration(stream: Any) -> int:
    """Of a stream that still runs: so far."""
    end = stream.end or stream.context.monotonic()
    return int((end - stream.start) * 1000)


def _pool_ready(stream: Any) -> int | None:
    connection = stream.upstream_connection
    return None if connection is None else int(max(0.0, connection.attached_at - stream.start) * 1000)


def _response_tx(stream: Any) -> int | None:
    return milliseconds(stream.response_at, stream.response_sent_at()) if stream.response_at else None


def _of_connection(name: str) -> Callable[[Any], float]:
    def moment(stream: Any) -> float:
        connection = stream.upstream_connection
        return 0.0 if connection is None else getattr(connection, name)

    return moment


def _first_sent(stream: Any) -> float:
    connection = stream.upstream_connection
    return 0.0 if connection is None else max(stream.start, connection.attached_at)


def _never(stream: Any) -> float:
    return 0.0


#: The points of `%COMMON_DURATION(X:Y:Z)%`: monotonic seconds, 0 where the point was not reached.
_POINTS: dict[str, Callable[[Any], float]] = {
    "DS_RX_BEG": lambda s: s.start,
    "DS_RX_END": lambda s: s.request_ended_at,
    "US_CX_BEG": _of_connection("connect_started"),
    "US_CX_END": _of_connection("opened_at"),
    "US_HS_END": _never,  # of TLS
    "US_TX_BEG": _first_sent,
    "US_TX_END": lambda s: s.request_sent_at(),
    "US_RX_BEG": lambda s: s.response_at,
    "US_RX_END": lambda s: s.end if s.response_at else 0.0,
    "DS_TX_BEG": lambda s: (s.response_at or s.end) if s.response is not None else 0.0,
    "DS_TX_END": lambda s: s.response_sent_at(),
}
_UNITS = {"ms": 1e3, "us": 1e6, "ns": 1e9}


def _common_duration(argument: str, clocks: Clocks) -> Operator:
    """`X:Y:Z`: from X to Y in ms, us or ns.  Points that Envoy does not know are never reached."""
    words = argument.split(":")
    if len(words) not in (2, 3):
        raise FormatError(f"Invalid common duration configuration: {argument}.")
    precision = words[2] if len(words) == 3 else "ms"
    if precision not in _UNITS:
        raise FormatError(f"Invalid common duration precision: {precision}.")
    begin, end = (_POINTS.get(word, _never) for word in words[:2])
    unit = _UNITS[precision]

    def of(stream: Any) -> int | None:
        since, until = begin(stream), end(stream)
        return int((until - since) * unit) if since and until and until >= since else None

    return of


def _local(build: Callable[[str, Clocks, tzinfo | None], Operator]) -> Callable[[str, Clocks], Operator]:
    return lambda argument, clocks: build(argument, clocks, None)


def _validity(argument: str, clocks: Clocks) -> Operator:
    """The validity of a certificate, of which there is none."""
    if _NEWLINE.search(argument):
        raise FormatError("Invalid header configuration. Format string contains newline.")
    return lambda stream: None


def _of_routing(measure: Callable[[Any], int]) -> Spec:
    """What `stream.route_lookups` notes."""

    def of(stream: Any) -> int:
        return 0 if stream.extras is None else measure(stream.extras)

    def build(argument: str, clocks: Clocks) -> Operator:
        if argument:
            raise FormatError("ROUTE_RESOLUTION does not take any parameters or length")
        clocks.routed = True
        return of

    return Spec(build, required=False, length=False)


SIMPLE: dict[str, Operator] = {
    "DURATION": duration,
    "REQUEST_DURATION": lambda s: milliseconds(s.start, s.request_ended_at),
    "REQUEST_TX_DURATION": lambda s: milliseconds(s.start, s.request_sent_at()),
    "RESPONSE_DURATION": lambda s: milliseconds(s.start, s.response_at),
    "RESPONSE_TX_DURATION": _response_tx,
    "UPSTREAM_CONNECTION_POOL_READY_DURATION": _pool_ready,
}
WITH_ARGUMENT: dict[str, Spec] = {
    "ROUTE_RESOLUTION_COUNT": _of_routing(lambda extras: extras.route_lookups),
    "ROUTE_RESOLUTION_TIME_US": _of_routing(lambda extras: int(extras.route_seconds * 1e6)),
    "START_TIME": Spec(_start_time, required=False, length=False),
    "START_TIME_LOCAL": Spec(_local(_start_time), required=False, length=False),
    "EMIT_TIME": Spec(_emit_time, required=False, length=False),
    "EMIT_TIME_LOCAL": Spec(_local(_emit_time), required=False, length=False),
    "COMMON_DURATION": Spec(_common_duration, length=False),
    "DOWNSTREAM_PEER_CERT_V_START": Spec(_validity, required=False, length=False),
    "DOWNSTREAM_PEER_CERT_V_END": Spec(_validity, required=False, length=False),
    "UPSTREAM_PEER_CERT_V_START": Spec(_validity, required=False, length=False),
    "UPSTREAM_PEER_CERT_V_END": Spec(_validity, required=False, length=False),
}
