"""Bodies of our own answers, made with a format (envoy.config.core.v3.SubstitutionFormatString)."""

from __future__ import annotations

from typing import Any

from twistproxy.model.access_log import LogFormat
from twistproxy.observe.access_log import Clocks, compile_log_format
from twistproxy.observe.log_syntax import Operator, Spec


class BodyFormat:
    """A compiled format, in which %LOCAL_REPLY_BODY% stands for the body that is formatted.

    content_type  what is configured, application/json for JSON, else b""
    is_json       then it ends with a newline, which no header can have
    """

    __slots__ = ("_body", "_render", "content_type", "is_json")

    def __init__(self, form: LogFormat, clocks: Clocks) -> None:
        self._body = ""
        self.is_json = form.json is not None
        self.content_type = form.content_type or (b"" if form.json is None else b"application/json")
        extra = {"LOCAL_REPLY_BODY": Spec(self._operator, required=False, length=False)}
        self._render = compile_log_format(form, clocks, extra)

    def _operator(self, argument: str, clocks: Clocks) -> Operator:
        return lambda stream: self._body

    def render(self, stream: Any, body: bytes) -> bytes:
        self._body = body.decode("utf-8", "surrogateescape")
        return self._render(stream).encode("utf-8", "surrogateescape")
