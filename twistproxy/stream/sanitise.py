"""What of a request's head is made uniform, or refused, before routes are matched: its path and its host (Envoy:
ConnectionManagerUtility::maybeNormalizePath and maybeNormalizeHost).

A connection manager has a `Sanitiser` only if something of it is configured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from twistproxy.http.message import RequestHead
from twistproxy.http.path import merge_slashes, normalise, unescape_slashes
from twistproxy.model.http_manager import SanitiseSettings
from twistproxy.stream.stream import Stream

_PORT = re.compile(rb":[0-9]+\Z")
_MAX_PORT = 2**32 - 1  # what Envoy takes for a number here


class Sanitiser:
    """The rules of one connection manager.

    early  steps that change a request's headers, which are given head and stream
    """

    __slots__ = ("_early", "_settings")

    def __init__(self, settings: SanitiseSettings, early: Sequence[Callable[[Any, Any], None]]) -> None:
        self._settings = settings
        self._early = early

    def apply(self, stream: Stream, head: RequestHead) -> bool:
        """Change `head` in place, or answer the request and return False."""
        settings = self._settings
        if settings.strip_trailing_dot:
            head.authority = _without_dot(head.authority)
        if settings.strip_port:
            _strip_port(head, stream.connection.local_port if settings.strip_port == "matching" else None)
        if not self._path(stream, head):
            return False
        for step in self._early:
            step(head, stream)
        return True

    def _path(self, stream: Stream, head: RequestHead) -> bool:
        settings = self._settings
        found = False
        if settings.escaped_slashes:
            path = unescape_slashes(head.path)
            found = len(path) != len(head.path)
            head.path = path
            if found and settings.escaped_slashes == "reject":
                return refuse_path(stream)
        if settings.normalise_path:
            normal = normalise(head.path)
            if normal is None:
                return refuse_path(stream)
            head.path = normal
        if settings.merge_slashes:
            head.path = merge_slashes(head.path)
        if not found or settings.escaped_slashes != "redirect":
            return True
        if (head.get(b"content-type") or b"").startswith(b"application/grpc"):
            return refuse_path(stream)  # clients of gRPC follow no redirects
        stream.context.stats.downstream_rq_redirected_with_normalized_path += 1
        stream.local_reply(307, b"", 0, "path_normalization_failed", ((b"location", head.path),))
        return False


def refuse_path(stream: Stream) -> bool:
    """Answer 400: the path cannot be made uniform.  Returns False."""
    stream.context.stats.downstream_rq_failed_path_normalization += 1
    if not stream.context.settings.stays_open_after_error:
        stream.connection.answered_early()
    stream.local_reply(400, b"", 0, "path_normalization_failed")
    return False


def _without_dot(host: bytes) -> bytes:
    """Without the dot that ends a fully qualified name, before a port too."""
    dot = host.rfind(b".")
    if dot >= 0 and host[dot + 1 : dot + 2] in (b"", b":"):
        return host[:dot] + host[dot + 1 :]
    return host


def _strip_port(head: RequestHead, only: int | None) -> None:
    """Take the port from the host; if `only` is given, none but that one."""
    found = _PORT.search(head.authority)
    if found is not None:
        port = int(found[0][1:]) if len(found[0]) < 20 else _MAX_PORT + 1
        if port <= _MAX_PORT and (only is None or port == only):
            head.authority = head.authority[: found.start()]
