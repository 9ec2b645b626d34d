"""Where a redirect leads to (envoy.config.route.v3.RedirectAction; Envoy: Http::Utility::newUri)."""

from __future__ import annotations

from twistproxy.http.message import RequestHead
from twistproxy.model.route import RedirectAction
from twistproxy.route.path_match import PathMatcher
from twistproxy.route.rewrite import safe_path
from twistproxy.route.substitution import Substitution

_DEFAULT_PORTS = ((b"http", b":80"), (b"https", b":443"))


class Redirect:
    """A compiled redirect.  `status`: of the answer."""

    __slots__ = (
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

    def __init__(self, action: RedirectAction, match: PathMatcher) -> None:
        self.status = action.status
        self._match = match
        self._scheme = b"https" if action.https else action.scheme.encode()
        self._host = safe_path(action.host.encode())
        self._keep_port = action.keep_port
        self._port = b":%d" % action.port if action.port else b""
        self._path = safe_path(action.path.encode())
        self._prefix = safe_path(action.prefix_rewrite.encode())
        self._regex: Substitution | None = None
        if action.regex_rewrite is not None:
            self._regex = Substitution(action.regex_rewrite.pattern, action.regex_rewrite.substitution)
        self._strip_query = action.strip_query

    def location(self, head: RequestHead) -> bytes:
        """The Location for this request."""
        scheme = head.scheme
        new_scheme = self._scheme or scheme
        host, port = _split_port(head.authority)
        if self._host:
            host, port = self._host, b""
        elif not self._keep_port and new_scheme != scheme and (scheme, port) in _DEFAULT_PORTS:
            port = b""  # the default port of the old scheme would be wrong with the new one
        path = self._new_path(head.path)
        slash = b"" if path[:1] == b"/" else b"/"
        return new_scheme + b"://" + host + (self._port or port) + slash + path

    def _new_path(self, path: bytes) -> bytes:
        bare, mark, query = path.partition(b"?")
        if self._path:
            # A path with a query of its own replaces both, whatever else is said.
            return self._path if self._strip_query or b"?" in self._path else self._path + mark + query
        if self._prefix:
            path = self._prefix + path[self._match.matched_length(path) :]
        elif self._regex is not None:
            new = self._regex.apply(bare)
            if new:
                path = safe_path(new) + mark + query
        return path.partition(b"?")[0] if self._strip_query else path


def location_of(head: RequestHead) -> bytes:
    """The URL that a request asks for."""
    return head.scheme + b"://" + head.authority + head.path


def _split_port(authority: bytes) -> tuple[bytes, bytes]:
    name, colon, port = authority.rpartition(b":")
    return (name, colon + port) if colon and port.isdigit() else (authority, b"")
