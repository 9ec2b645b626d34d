"""Heads of requests and responses, the same for every version of HTTP."""

from __future__ import annotations

from enum import IntEnum

from twistproxy.http.headers import Header, HeaderMap


class HttpVersion(IntEnum):
    HTTP10 = 0
    HTTP11 = 1
    HTTP2 = 2
    HTTP3 = 3


#: As access logs and `%PROTOCOL%` write them.
VERSION_TEXT = ("HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3")


class RequestHead(HeaderMap):
    """A request without its body.

    method, path, authority, scheme   bytes; `path` holds the query; `authority` is b"" where there is none.
                                      `host` is not among the headers.
    scheme                            b"" until the connection manager has found it out
    version                           what the downstream speaks
    """

    __slots__ = ("authority", "method", "path", "scheme", "version")

    def __init__(
        self,
        method: bytes,
        path: bytes,
        authority: bytes,
        items: list[Header],
        index: dict[bytes, bytes],
        version: HttpVersion = HttpVersion.HTTP11,
        scheme: bytes = b"",
    ) -> None:
        self.method = method
        self.path = path
        self.authority = authority
        self.items = items
        self.index = index
        self.version = version
        self.scheme = scheme


class ResponseHead(HeaderMap):
    """A response without its body.  `status` is an integer of 100 to 599."""

    __slots__ = ("status",)

    def __init__(self, status: int, items: list[Header], index: dict[bytes, bytes] | None = None) -> None:
        self.status = status
        self.items = items
        self.index = dict(items) if index is None else index


def append_via(head: HeaderMap, name: bytes) -> None:
    """Add us to the proxies that a message came through (RFC 9110 section 7.6.3)."""
    before = head.get(b"via")
    head.set(b"via", before + b", " + name if before else name)


class ResponseWithTrailers(ResponseHead):
    """A response's head together with the trailers that ended the response, for logs."""

    __slots__ = ("trailers",)

    def __init__(self, head: ResponseHead, trailers: HeaderMap) -> None:
        super().__init__(head.status, head.items, head.index)
        self.trailers = trailers
