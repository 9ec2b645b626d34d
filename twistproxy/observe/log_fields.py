"""Operators that read the heads of request and response, and what gRPC says in them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from twistproxy.http.grpc import STATUS_NAMES, is_grpc, status_of_http
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import ResponseWithTrailers
from twistproxy.observe.log_syntax import Clocks, FormatError, Operator, Spec, text_of

#: What may be in the name of a header (RFC 9110 section 5.1), and ":" before that of a pseudo header.
_NAME = re.compile(r":?[!#$%&'*+.^_`|~0-9A-Za-z-]*")


def _names(argument: str) -> list[bytes]:
    """`X?Y`: the header, and the one to take where it is absent."""
    names = argument.split("?")
    if len(names) > 2:
        raise FormatError(f"More than 1 alternative header specified in token: {argument}")
    if not all(_NAME.fullmatch(name) for name in names):
        raise FormatError("Invalid header configuration. Format string contains invalid characters.")
    found = [name.lower().encode() for name in names if name]
    return [b":authority" if name == b"host" else name for name in found]


def _request(argument: str, clocks: Clocks) -> Operator:
    names = _names(argument)
    if len(names) == 1:
        name = names[0]
        if name[:1] == b":":
            pseudo: Operator = _PSEUDO.get(name, _absent)
            return lambda stream: pseudo(stream.head)

        def one(stream: Any) -> str | None:
            value = first(stream.head, name)
            return None if value is None else text_of(value)

        return one
    both = [_request(name.decode(), clocks) for name in names]

    def either(stream: Any) -> str | None:
        for of in both:
            value: str | None = of(stream)
            if value is not None:
                return value
        return None

    return either


def _response(argument: str, clocks: Clocks) -> Operator:
    names = _names(argument)

    def of(stream: Any) -> str | None:
        response = stream.response
        if response is None:
            return None
        for name in names:
            if name == b":status":
                return str(response.status)
            value = first(response, name)
            if value is not None:
                return text_of(value)
            if name == b"connection" and stream.connection.closing:
                return "close"  # the codec writes it
        return None

    return of


def _trailer(argument: str, clocks: Clocks) -> Operator:
    names = _names(argument)

    def of(stream: Any) -> str | None:
        trailers = response_trailers(stream)
        if trailers is None:
            return None
        for name in names:
            value = first(trailers, name)
            if value is not None:
                return text_of(value)
        return None

    return of


def first(fields: HeaderMap, name: bytes) -> bytes | None:
    """Of several fields of one name Envoy logs the first."""
    index = fields.index
    if name not in index:
        return None
    if len(index) == len(fields.items):
        return index[name]
    return next((value for key, value in fields.items if key == name), None)


def response_trailers(stream: Any) -> HeaderMap | None:
    response = stream.response
    return response.trailers if isinstance(response, ResponseWithTrailers) else None


# ---- pseudo headers; a request that was refused as unreadable has none


def _absent(head: Any) -> None:
    return None


def _method(head: Any) -> str | None:
    return text_of(head.method) or None


def _path_text(head: Any) -> str | None:
    return text_of(head.path) or None


def _authority(head: Any) -> str | None:
    return text_of(head.authority) or None


def _scheme(head: Any) -> str | None:
    return text_of(head.scheme) or None


_PSEUDO: dict[bytes, Operator] = {
    b":method": _method,
    b":path": _path_text,
    b":authority": _authority,
    b":scheme": _scheme,
}


def _size(fields: HeaderMap) -> int:
    return sum([len(name) + len(value) for name, value in fields.items])


def request_headers_bytes(stream: Any) -> int:
    """Names and values, the pseudo headers among them."""
    head = stream.head
    total = _size(head)
    for name, of in _PSEUDO.items():
        value = of(head)
        if value is not None:
            total += len(name) + len(value.encode("utf-8", "surrogateescape"))
    return total


def response_headers_bytes(stream: Any) -> int:
    response = stream.response
    if response is None:
        return 0
    return len(":status200") + _size(response) + (len("connectionclose") if stream.connection.closing else 0)


def response_trailers_bytes(stream: Any) -> int:
    trailers = response_trailers(stream)
    return 0 if trailers is None else _size(trailers)


# ---- the path

_QUERIES = ("WQ", "NQ")
_WHICH = ("ORIG", "PATH", "ORIG_OR_PATH")


def _path(argument: str, clocks: Clocks) -> Operator:
    """`%PATH(X:Y)%`: with (WQ) or without (NQ) the query; before rewriting (ORIG) or after (PATH)."""
    query, _, which = argument.partition(":")
    if query and query not in _QUERIES:
        raise FormatError(f"Invalid PATH option: '{query}', only 'WQ'/'NQ' are allowed")
    if which and which not in _WHICH:
        raise FormatError(f"Invalid PATH option: '{which}', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed")

    def of(stream: Any) -> str | None:
        head = stream.head
        path = None if which == "PATH" else head.get(b"x-envoy-original-path")
        if path is None and which != "ORIG":
            path = head.path
        if path and query == "NQ":
            path = path.partition(b"?")[0]
        return text_of(path) if path else None

    return of


def _query_param(argument: str, clocks: Clocks) -> Operator:
    """The first value of a parameter, both percent-decoded."""
    wanted = argument.encode()

    def of(stream: Any) -> str | None:
        query = stream.head.path.partition(b"?")[2]
        if not query:
            return None
        for pair in query.partition(b"#")[0].split(b"&"):
            name, _, value = pair.partition(b"=")
            if unquote_to_bytes(name) == wanted:
                return text_of(unquote_to_bytes(value))
        return None

    return of


def _query_params(argument: str, clocks: Clocks) -> Operator:
    """The query as it came (ORIG), or with what need not be encoded decoded (DECODED)."""
    if argument not in ("", "ORIG", "DECODED"):
        raise FormatError(f"Invalid QUERY_PARAMS option: '{argument}', only 'ORIG'/'DECODED' are allowed")

    def of(stream: Any) -> str | None:
        query: bytes = stream.head.path.partition(b"?")[2]
        if not query:
            return None
        if argument != "DECODED":
            return text_of(query)
        pairs = [pair.partition(b"=") for pair in query.split(b"&")]
        return "&".join([f"{_again(name)}={_again(value)}" for name, _, value in pairs])

    return of


def _again(text: bytes) -> str:
    return quote_from_bytes(unquote_to_bytes(text), safe="")


def _server_name(argument: str, clocks: Clocks) -> Operator:
    """The name that the client asked for in TLS, of which there is none here, or else in Host."""
    if argument not in ("", "SNI_ONLY", "SNI_FIRST", "HOST_FIRST"):
        raise FormatError(
            f"Invalid REQUESTED_SERVER_NAME option: '{argument}', only 'SNI_ONLY'/'SNI_FIRST'/'HOST_FIRST' are allowed"
        )
    if argument in ("", "SNI_ONLY"):
        return _absent
    return lambda stream: _authority(stream.head)


# ---- gRPC


def grpc_status_number(stream: Any) -> int | None:
    """What the trailers say, or the head, or else what the HTTP status stands for."""
    if not is_grpc(stream.head):
        return None
    for fields in (response_trailers(stream), stream.response):
        value = None if fields is None else fields.get(b"grpc-status")
        if value is not None and value.isdigit():
            return int(value)
    return None if stream.response is None else status_of_http(stream.response.status)


def _grpc_status(argument: str, clocks: Clocks) -> Operator:
    style = argument or "CAMEL_STRING"
    if style not in ("CAMEL_STRING", "SNAKE_STRING", "NUMBER"):
        raise FormatError(
            f"GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: {argument}"
        )
    if style == "NUMBER":
        return grpc_status_number

    def of(stream: Any) -> str | None:
        number = grpc_status_number(stream)
        if number is None:
            return None
        if number >= len(STATUS_NAMES):
            return str(number)
        name = STATUS_NAMES[number]
        return name if style == "CAMEL_STRING" else _snake(name)

    return of


def _snake(name: str) -> str:
    name = "Cancelled" if name == "Canceled" else name
    return name if name == "OK" else re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


SIMPLE: dict[str, Operator] = {
    "GRPC_STATUS_NUMBER": grpc_status_number,
    "REQUEST_HEADERS_BYTES": request_headers_bytes,
    "RESPONSE_HEADERS_BYTES": response_headers_bytes,
    "RESPONSE_TRAILERS_BYTES": response_trailers_bytes,
    # A stream's id is that of its request.
    "STREAM_ID": lambda s: s.stream_id(),
}
WITH_ARGUMENT: dict[str, Spec] = {
    "REQ": Spec(_request),
    "STREAM_INFO_REQ": Spec(_request),
    "RESP": Spec(_response),
    "TRAILER": Spec(_trailer),
    "PATH": Spec(_path, required=False),
    "QUERY_PARAM": Spec(_query_param),
    "QUERY_PARAMS": Spec(_query_params, required=False),
    "REQUESTED_SERVER_NAME": Spec(_server_name, required=False, length=False),
    "GRPC_STATUS": Spec(_grpc_status, required=False, length=False),
}


def without_query(argument: str, clocks: Clocks) -> Operator:
    """`%REQ_WITHOUT_QUERY(X?Y)%` of envoy.formatter.req_without_query."""
    of = _request(argument, clocks)

    def cut(stream: Any) -> str | None:
        value: str | None = of(stream)
        return None if value is None else value.partition("?")[0]

    return cut
