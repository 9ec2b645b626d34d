"""What gRPC says in headers (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from twistproxy.http.headers import HeaderMap

#: The statuses by number, as access logs write them.
STATUS_NAMES = (
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

#: HTTP status → gRPC status (doc/http-grpc-status-mapping.md); all others are Unknown.
_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_UNKNOWN = 2

#: gRPC status → HTTP status (Envoy: Grpc::Utility::grpcToHttpStatus).
_TO_HTTP = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)
_NO_STATUS = 500


def is_grpc(head: HeaderMap) -> bool:
    """Whether the content of a request or a response is gRPC's (Envoy: Grpc::Common::hasGrpcContentType)."""
    value = head.index.get(b"content-type", b"")
    return value.startswith(b"application/grpc") and value[16:17] in (b"", b"+")


def status_of_http(status: int) -> int:
    """The gRPC status that stands for an HTTP one."""
    return _OF_HTTP.get(status, _UNKNOWN)


def http_status_of(grpc_status: bytes) -> int:
    """The HTTP status that stands for the value of a grpc-status; for one that is none, 500."""
    number = int(grpc_status) if grpc_status.isdigit() and len(grpc_status) < 9 else len(_TO_HTTP)
    return _TO_HTTP[number] if number < len(_TO_HTTP) else _NO_STATUS


def encoded_message(text: bytes) -> bytes:
    """A text as the value of grpc-message: percent-encoded where it is not printable ASCII."""
    if all(32 <= octet < 127 and octet != 37 for octet in text):
        return text
    return b"".join(
        [b"%c" % octet if 32 <= octet < 127 and octet != 37 else b"%%%02X" % octet for octet in text]
    )
