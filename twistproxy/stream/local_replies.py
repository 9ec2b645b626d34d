"""Local replies as `local_reply_config` wants them (Envoy: docs/root/configuration/http/http_conn_man/local_reply).

A reply runs through the mappers; the first whose filter takes it changes it.  Then its body is made with the mapper's
format, or else that of all replies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twistproxy.http.grpc import encoded_message, is_grpc, status_of_http
from twistproxy.http.message import ResponseHead
from twistproxy.model.access_log import LogFilter, LogFormat
from twistproxy.observe.access_log import Clocks
from twistproxy.observe.body_format import BodyFormat

_CONTENT_TYPE = b"content-type"
_TEXT = b"text/plain"


class Edits(Protocol):
    """Header rules, compiled."""

    def apply_to_response(self, head: ResponseHead, stream: Any, /) -> None: ...


class Mapper:
    """envoy…http_connection_manager.v3.ResponseMapper; None where something stays as it is."""

    __slots__ = ("body", "edits", "form", "passes", "status")

    def __init__(
        self,
        condition: LogFilter,
        status: int | None,
        body: bytes | None,
        form: LogFormat | None,
        edits: Edits | None,
        clocks: Clocks,
    ) -> None:
        self.passes: Callable[[Any], bool] = condition.passes
        self.status = status
        self.body = body
        self.form = None if form is None else BodyFormat(form, clocks)
        self.edits = edits


class LocalReplies:
    """Of one connection manager."""

    __slots__ = ("_form", "_mappers")

    def __init__(self, mappers: tuple[Mapper, ...], form: LogFormat | None, clocks: Clocks) -> None:
        self._mappers = mappers
        self._form = None if form is None else BodyFormat(form, clocks)

    def rewrite(self, stream: Any, head: ResponseHead, body: bytes) -> tuple[bytes, bytes]:
        """Change `head` in place.  Returns the body, and the content type for it if `head` has none."""
        stream.response = head  # what filters and formats read
        form = self._form
        before = body
        said = head.index.get(_CONTENT_TYPE)
        for mapper in self._mappers:
            if mapper.passes(stream):
                if mapper.body is not None:
                    body = mapper.body
                if mapper.edits is not None:
                    mapper.edits.apply_to_response(head, stream)
                if mapper.status is not None:
                    head.status = mapper.status
                form = mapper.form or form
                break
        content_type = _TEXT
        if form is not None:
            body = form.render(stream, body)
            if form.is_json and is_grpc(stream.head):
                body = body.removesuffix(b"\n")
            content_type = form.content_type or _TEXT
        if said is not None and body != before and head.index.get(_CONTENT_TYPE) == said:
            head.set(_CONTENT_TYPE, content_type)  # what was said was of another body
        stream.response = None
        return body, content_type


def to_grpc(head: ResponseHead, body: bytes, status: int = -1) -> None:
    """Make a reply one that a gRPC client understands: all of it is in the head (Envoy: Utility::sendLocalReply).
    `status`: -1 for the one that stands for the head's."""
    head.set(b"content-type", b"application/grpc")
    head.set(b"grpc-status", b"%d" % (status_of_http(head.status) if status < 0 else status))
    if body:
        head.set(b"grpc-message", encoded_message(body))
    head.status = 200
