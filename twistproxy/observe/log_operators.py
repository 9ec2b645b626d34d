"""The operators of access log formats (Envoy: docs/root/configuration/observability/access_log/usage).

Each is a function from a stream that has ended (`stream.Stream`) to its text, None where it has none.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import VERSION_TEXT, ResponseWithTrailers
from twistproxy.observe.flags import flag_text, long_flag_text

#: A value of a stream as text, None where it has none (written as "-").
Operator = Callable[[Any], str | None]


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


def operator(name: str, argument: str | None, clocks: Clocks) -> Operator:
    """The operator `%name(argument)%`.  Raises FormatError if there is none, or not with that argument."""
    if name in _HEADERS:
        if not argument:
            raise FormatError(f"%{name}% needs a header name")
        return _header(name, argument)
    if name == "START_TIME":
        return _time(argument, lambda stream: clocks.wall_at(stream.start))
    if name == "EMIT_TIME":
        return _time(argument, lambda stream: clocks.wall())
    if name in _WITH_ARGUMENT:
        return _WITH_ARGUMENT[name](argument)
    if argument is not None:
        raise FormatError(f"%{name}% takes no argument")
    try:
        return _SIMPLE[name]
    except KeyError:
        raise FormatError(f"not supported field in the format: {name}") from None


# ---- headers

_HEADERS = ("REQ", "RESP", "TRAILER", "REQ_WITHOUT_QUERY")


def _header(kind: str, argument: str) -> Operator:
    names = [name.strip().lower().encode() for name in argument.split("?")]

    def of(stream: Any) -> str | None:
        head = _fields(stream, kind)
        if head is None:
            return None
        for name in names:
            value = _pseudo(stream, name) if name[:1] == b":" else _first(head, name)
            if value:
                if kind == "REQ_WITHOUT_QUERY":
                    value = value.partition(b"?")[0]
                return _text(value)
        return None

    return of


def _first(fields: HeaderMap, name: bytes) -> bytes | None:
    """Of several fields of one name Envoy logs the first."""
    return next((value for key, value in fields.items if key == name), None) if name in fields.index else None


def _fields(stream: Any, kind: str) -> HeaderMap | None:
    response: HeaderMap | None = stream.response
    if kind == "RESP":
        return response
    if kind == "TRAILER":
        return response.trailers if isinstance(response, ResponseWithTrailers) else None
    head: HeaderMap | None = stream.head
    return head


def _pseudo(stream: Any, name: bytes) -> bytes | None:
    if name == b":status":
        return None if stream.response is None else b"%d" % stream.response.status
    head = stream.head
    forwarded = head.get(b"x-forwarded-proto") if head.scheme == b"http" else None
    value: bytes | None = {
        b":method": head.method,
        b":path": head.path,
        b":authority": head.authority,
        # Behind another proxy the scheme is that of its client.
        b":scheme": forwarded if forwarded in (b"http", b"https") else head.scheme,
    }.get(name)
    return value


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


# ---- the path

_PATH_ARGUMENT = re.compile(r"(WQ|NQ)?(?::(ORIG|PATH|ORIG_OR_PATH))?")


def _path(argument: str | None) -> Operator:
    """`%PATH(X:Y)%`: with (WQ) or without (NQ) the query; before rewriting (ORIG) or after (PATH)."""
    match = _PATH_ARGUMENT.fullmatch(argument or "")
    if match is None:
        raise FormatError(f"invalid PATH option: {argument}")
    query, which = match[1] or "WQ", match[2] or "ORIG_OR_PATH"

    def of(stream: Any) -> str | None:
        head = stream.head
        path = None if which == "PATH" else head.get(b"x-envoy-original-path")
        if path is None and which != "ORIG":
            path = head.path
        if path and query == "NQ":
            path = path.partition(b"?")[0]
        return _text(path) if path else None

    return of


def _query_param(argument: str | None) -> Operator:
    if not argument:
        raise FormatError("%QUERY_PARAM% needs the name of a parameter")
    wanted = argument.encode()

    def of(stream: Any) -> str | None:
        for pair in stream.head.path.partition(b"?")[2].split(b"&"):
            name, _, value = pair.partition(b"=")
            if name == wanted:
                return _text(value) or None
        return None

    return of


def _query_params(stream: Any) -> str | None:
    return _text(stream.head.path.partition(b"?")[2]) or None


# ---- time

_FRACTION = re.compile(r"%([1-9]?)(f|\*f)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _time(argument: str | None, moment_of: Callable[[Any], float]) -> Operator:
    """`%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%`: strftime, with %s, %f, %3f, %6f … as in Envoy."""
    if not argument:

        def iso(stream: Any) -> str:
            moment = moment_of(stream)
            return f"{_date(moment):%Y-%m-%dT%H:%M:%S}.{int(moment * 1000) % 1000:03d}Z"

        return iso

    def custom(stream: Any) -> str:
        moment = moment_of(stream)
        nanoseconds = f"{int((moment % 1) * 1e9):09d}"
        text = _FRACTION.sub(lambda match: nanoseconds[: int(match.group(1) or 9)], argument)
        return _date(moment).strftime(text.replace("%s", str(int(moment))))

    return custom


def _date(moment: float) -> datetime:
    return _EPOCH + timedelta(seconds=int(moment))


def _milliseconds(since: float, until: float) -> str | None:
    return str(int((until - since) * 1000)) if until else None


def _request_tx_duration(stream: Any) -> str | None:
    """Until the whole request was sent upstream: when it came, or later when a connection was there for it."""
    connection = stream.upstream_connection
    if connection is None or not stream.request_ended_at:
        return None
    sent = min(max(stream.request_ended_at, connection.attached_at), stream.end)
    return _milliseconds(stream.start, sent)


# ---- addresses and connections

_HOSTNAME = platform.node()


def _remote(stream: Any) -> str:
    text: str = stream.connection.remote_text
    return text


def _local(stream: Any) -> str:
    text: str = stream.connection.local_text
    return text


def _port(text: str | None) -> str | None:
    port = (text or "").rpartition(":")[2]
    return port if port.isdigit() else None


def _without_port(text: str | None) -> str | None:
    return text and (text.rpartition(":")[0].strip("[]") or text)


def _upstream_host(stream: Any) -> str | None:
    return None if stream.host is None else stream.host.address_text


def _upstream_host_name(stream: Any) -> str | None:
    return None if stream.host is None else stream.host.endpoint.hostname or stream.host.address_text


def _upstream_local(stream: Any) -> str | None:
    connection = stream.upstream_connection
    if connection is None:
        return None
    address = connection.transport.getHost()
    if not hasattr(address, "port"):
        return None
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def _connection_id(stream: Any) -> str:
    return str(os.getpid() << 32 | stream.connection.number)


def _stream_id(stream: Any) -> str:
    """The same in every log and operator of one stream."""
    digest = hashlib.md5(f"{_connection_id(stream)} {stream.start!r}".encode(), usedforsecurity=False)
    return str(uuid.UUID(bytes=digest.digest(), version=4))


# ---- gRPC

_GRPC_NAMES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)


def _grpc_status(argument: str | None) -> Operator:
    style = argument or "CAMEL_STRING"
    if style not in ("CAMEL_STRING", "SNAKE_STRING", "NUMBER"):
        raise FormatError("GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER.")

    def of(stream: Any) -> str | None:
        if not (stream.head.get(b"content-type") or b"").startswith(b"application/grpc"):
            return None
        for kind in ("TRAILER", "RESP"):
            fields = _fields(stream, kind)
            value = None if fields is None else fields.get(b"grpc-status")
            if value is not None and value.isdigit():
                number = int(value)
                if style == "NUMBER" or number >= len(_GRPC_NAMES):
                    return str(number)
                name = _GRPC_NAMES[number]
                return name if style == "CAMEL_STRING" else _snake(name)
        return None

    return of


def _snake(name: str) -> str:
    return name if name == "OK" else re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


# ---- all of them


def _none(stream: Any) -> None:
    return None


def _nothing(form: str) -> Callable[[str | None], Operator]:
    """What filters leave for logs: none of those that exist does, so its value is always absent."""

    def build(argument: str | None) -> Operator:
        if not argument:
            raise FormatError(f"%{form}% needs an argument")
        return _none

    return build


_WITH_ARGUMENT: dict[str, Callable[[str | None], Operator]] = {
    "ENVIRONMENT": lambda name: _constant(os.environ.get(name or "")),
    "PATH": _path,
    "QUERY_PARAM": _query_param,
    "GRPC_STATUS": _grpc_status,
    "DYNAMIC_METADATA": _nothing("DYNAMIC_METADATA"),
    "FILTER_STATE": _nothing("FILTER_STATE"),
    "UPSTREAM_FILTER_STATE": _nothing("UPSTREAM_FILTER_STATE"),
}


def _constant(value: str | None) -> Operator:
    return lambda stream: value


_SIMPLE: dict[str, Operator] = {
    "ACCESS_LOG_TYPE": _constant("DownstreamEnd"),
    "PROTOCOL": lambda s: VERSION_TEXT[s.head.version],
    "RESPONSE_CODE": lambda s: "0" if s.response is None else str(s.response.status),
    "RESPONSE_CODE_DETAILS": lambda s: s.details.replace(" ", "_") or None,
    "CONNECTION_TERMINATION_DETAILS": _none,
    "RESPONSE_FLAGS": lambda s: flag_text(s.flags),
    "RESPONSE_FLAGS_LONG": lambda s: long_flag_text(s.flags),
    "BYTES_RECEIVED": lambda s: str(s.bytes_received),
    "BYTES_SENT": lambda s: str(s.bytes_sent),
    "DURATION": lambda s: _milliseconds(s.start, s.end),
    "REQUEST_DURATION": lambda s: _milliseconds(s.start, s.request_ended_at),
    "REQUEST_TX_DURATION": _request_tx_duration,
    "RESPONSE_DURATION": lambda s: _milliseconds(s.start, s.response_at),
    "RESPONSE_TX_DURATION": lambda s: _milliseconds(s.response_at, s.end) if s.response_at else None,
    "GRPC_STATUS_NUMBER": _grpc_status("NUMBER"),
    "QUERY_PARAMS": _query_params,
    "UPSTREAM_HOST": _upstream_host,
    "UPSTREAM_HOST_NAME": _upstream_host_name,
    "UPSTREAM_HOST_NAME_WITHOUT_PORT": lambda s: _without_port(_upstream_host_name(s)),
    "UPSTREAM_REMOTE_ADDRESS": _upstream_host,
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": lambda s: _without_port(_upstream_host(s)),
    "UPSTREAM_REMOTE_PORT": lambda s: _port(_upstream_host(s)),
    "UPSTREAM_CLUSTER": lambda s: s.cluster or None,
    "UPSTREAM_CLUSTER_RAW": lambda s: s.cluster or None,
    "UPSTREAM_LOCAL_ADDRESS": _upstream_local,
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": lambda s: _without_port(_upstream_local(s)),
    "UPSTREAM_LOCAL_PORT": lambda s: _port(_upstream_local(s)),
    "UPSTREAM_PROTOCOL": lambda s: None if s.upstream_connection is None else "HTTP/1.1",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": lambda s: "0" if s.host is None else "1",
    "UPSTREAM_TRANSPORT_FAILURE_REASON": lambda s: s.failure.replace(" ", "_") or None,
    "DOWNSTREAM_REMOTE_ADDRESS": _remote,
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": lambda s: _without_port(_remote(s)),
    "DOWNSTREAM_REMOTE_PORT": lambda s: _port(_remote(s)),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": _remote,
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": lambda s: _without_port(_remote(s)),
    "DOWNSTREAM_DIRECT_REMOTE_PORT": lambda s: _port(_remote(s)),
    "DOWNSTREAM_LOCAL_ADDRESS": _local,
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": lambda s: _without_port(_local(s)),
    "DOWNSTREAM_LOCAL_PORT": lambda s: _port(_local(s)),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": _local,
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": lambda s: _without_port(_local(s)),
    "DOWNSTREAM_DIRECT_LOCAL_PORT": lambda s: _port(_local(s)),
    "CONNECTION_ID": _connection_id,
    "STREAM_ID": _stream_id,
    "FILTER_CHAIN_NAME": lambda s: s.context.settings.filter_chain_name or None,
    "ROUTE_NAME": lambda s: None if s.route is None else s.route.name or None,
    "HOSTNAME": _constant(_HOSTNAME),
    "UNIQUE_ID": lambda s: str(uuid.uuid4()),
    # Nothing is encrypted, no virtual cluster is known and no request is traced so far.
    **dict.fromkeys(
        (
            "DOWNSTREAM_LOCAL_SUBJECT",
            "DOWNSTREAM_LOCAL_URI_SAN",
            "DOWNSTREAM_PEER_CERT",
            "DOWNSTREAM_PEER_FINGERPRINT_1",
            "DOWNSTREAM_PEER_FINGERPRINT_256",
            "DOWNSTREAM_PEER_ISSUER",
            "DOWNSTREAM_PEER_SERIAL",
            "DOWNSTREAM_PEER_SUBJECT",
            "DOWNSTREAM_PEER_URI_SAN",
            "DOWNSTREAM_TLS_CIPHER",
            "DOWNSTREAM_TLS_SESSION_ID",
            "DOWNSTREAM_TLS_VERSION",
            "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
            "REQUESTED_SERVER_NAME",
            "TRACE_ID",
            "UPSTREAM_TLS_CIPHER",
            "UPSTREAM_TLS_SESSION_ID",
            "UPSTREAM_TLS_VERSION",
            "VIRTUAL_CLUSTER_NAME",
        ),
        _none,
    ),
}
