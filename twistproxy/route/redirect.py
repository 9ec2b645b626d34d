"""Where a redirect leads to (envoy.config.route.v3.RedirectAction; Envoy: Http::Utility::newUri)."""

from __future__ import annotations

from typing import Any

from twistproxy.http.message import RequestHead
from twistproxy.model.route import RedirectAction
from twistproxy.observe.access_log import Clocks, compile_format
from twistproxy.route.path_match import PathMatcher
from twistproxy.route.rewrite import ORIGINAL_PATH, safe_path
from twistproxy.route.substitution import Substitution

_DEFAULT_PORTS = ((b"http", b":80"), (b"https", b":443"))


class Redirect:
    """A compiled redirect.  `status`: of the answer."""

    __slots__ = (
        "_format",
        "_host",
        "_keep_port",
        "_match",
        "_path",
        "_port",
        "_prefix",
        "_regex",
        "_scheme",
        "_strip_query",
        "status",
    )

    def __init__(self, action: RedirectAction, match: PathMatcher, clocks: Clocks) -> None:
        self.status = action.status
        self._match = match
        self._scheme = b"https" if action.https else action.scheme.encode()
        self._host = safe_path(action.host.encode())
        self._keep_port = action.keep_port
        self._port = b":%d" % action.port if action.port else b""
        self._path = safe_path(action.path.encode())
        self._format = compile_format(action.path_format, clocks, missing="") if action.path_format else None
        self._prefix = safe_path(action.prefix_rewrite.encode())
        self._regex: Substitution | None = None
        if action.regex_rewrite is not None:
            self._regex = Substitution(action.regex_rewrite.pattern, action.regex_rewrite.substitution)
        self._strip_query = action.strip_query

    def location(self, head: RequestHead, stream: Any, keep_original: bool = False) -> bytes:
        """The Location for this request.

        A prefix or a regular expression rewrites the path of `head` itself, which header rules and logs then see
        (Envoy: DirectResponseEntry::rewritePathHeader).  `keep_original`: as it was it goes to x-envoy-original-path.
        """
        scheme = head.scheme
        new_scheme = self._scheme or scheme
        host, port = _split_port(head.authority)
        if self._host:
            host, port = self._host, b""
        elif not self._keep_port and new_scheme != scheme and (scheme, port) in _DEFAULT_PORTS:
            port = b""  # the default port of the old scheme would be wrong with the new one
        path = self._new_path(head, stream, keep_original)
        slash = b"" if path[:1] == b"/" else b"/"
        return new_scheme + b"://" + host + (self._port or port) + slash + path

    def _new_path(self, head: RequestHead, stream: Any, keep_original: bool) -> bytes:
        path = head.path
        told = self._path
        if self._format is not None:
            told = safe_path(self._format(stream).encode("utf-8", "surrogateescape"))
        if told:
            # A path with a query of its own replaces both, whatever else is said.
            if self._strip_query or b"?" in told:
                return told
            _, mark, query = path.partition(b"?")
            return told + mark + query
        new = self._rewritten(path)
        if new:
            if keep_original:
                head.set(ORIGINAL_PATH, path)
            head.path = path = new
        return path.partition(b"?")[0] if self._strip_query else path

    def _rewritten(self, path: bytes) -> bytes:
        """b"" if the path stays."""
        if self._prefix:
            return self._prefix + path[self._match.matched_length(path) :]
        if self._regex is None:
            return b""
        bare, mark, query = path.partition(b"?")
        new = self._regex.apply(bare)
        return safe_path(new) + mark + query if new else b""


def location_of(head: RequestHead) -> bytes:
    """The URL that a request asks for."""
    return head.scheme + b"://" + head.authority + head.path


def _split_port(authority: bytes) -> tuple[bytes, bytes]:
    name, colon, port = authority.rpartition(b":")
    return (name, colon + port) if colon and port.isdigit() else (authority, b"")
