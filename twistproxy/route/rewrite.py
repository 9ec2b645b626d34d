"""What a route changes in a request on its way up: headers, then the authority, then the path.

Envoy: RouteEntryImplBase::finalizeRequestHeaders; envoy.config.route.v3.RouteAction.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twistproxy.http.message import RequestHead
from twistproxy.http.target import valid_host
from twistproxy.model.route import ClusterAction, HostRewrite
from twistproxy.observe.access_log import Clocks, compile_format
from twistproxy.route.header_rules import HeaderEdits
from twistproxy.route.path_match import PathMatcher
from twistproxy.route.substitution import Substitution
from twistproxy.route.uri_template import TemplateRewrite, UriTemplate

ORIGINAL_PATH = b"x-envoy-original-path"
_ORIGINAL_HOST = b"x-envoy-original-host"
_FORWARDED_HOST = b"x-forwarded-host"

#: What would end or break the request line.
_UNSAFE = re.compile(rb"[\0-\x20\x7f]")

_Render = Callable[[Any], str]


class PathRewrite:
    """The base of all."""

    __slots__ = ()

    def apply(self, path: bytes, stream: Any) -> bytes:
        """The new path for one with its query; b"" if it stays as it is."""
        raise NotImplementedError


class _Prefix(PathRewrite):
    """`prefix_rewrite`: takes the place of what has matched."""

    __slots__ = ("_match", "_prefix")

    def __init__(self, match: PathMatcher, prefix: str) -> None:
        self._match = match
        self._prefix = safe_path(prefix.encode())

    def apply(self, path: bytes, stream: Any) -> bytes:
        return self._prefix + path[self._match.matched_length(path) :]


class _Regex(PathRewrite):
    """`regex_rewrite`: of the path without its query."""

    __slots__ = ("_substitution",)

    def __init__(self, substitution: Substitution) -> None:
        self._substitution = substitution

    def apply(self, path: bytes, stream: Any) -> bytes:
        bare, mark, query = path.partition(b"?")
        new = self._substitution.apply(bare)
        return safe_path(new) + mark + query if new else b""


class _Template(PathRewrite):
    """`path_rewrite_policy` with a URI template."""

    __slots__ = ("_template",)

    def __init__(self, template: TemplateRewrite) -> None:
        self._template = template

    def apply(self, path: bytes, stream: Any) -> bytes:
        bare, mark, query = path.partition(b"?")
        return self._template.apply(bare) + mark + query


class _Format(PathRewrite):
    """`path_rewrite`: a text with `%…%` operators for the path without its query."""

    __slots__ = ("_render",)

    def __init__(self, render: _Render) -> None:
        self._render = render

    def apply(self, path: bytes, stream: Any) -> bytes:
        new = self._render(stream).encode("utf-8", "surrogateescape")
        _, mark, query = path.partition(b"?")
        return safe_path(new) + mark + query if new else b""


def compile_path_rewrite(
    action: ClusterAction, match: PathMatcher, template: str | None, clocks: Clocks
) -> PathRewrite | None:
    """None if the path stays.  `template`: the URI template that the route matches by, if it does."""
    if action.prefix_rewrite:
        return _Prefix(match, action.prefix_rewrite)
    if action.regex_rewrite is not None:
        return _Regex(Substitution(action.regex_rewrite.pattern, action.regex_rewrite.substitution))
    if action.template_rewrite is not None and template is not None:
        return _Template(TemplateRewrite(action.template_rewrite, UriTemplate(template)))
    if action.path_format:
        return _Format(compile_format(action.path_format, clocks, missing=""))
    return None


def safe_path(path: bytes) -> bytes:
    """With white space and control characters percent-encoded; Envoy writes them into the request line."""
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], path)


class RequestRewrites:
    """Everything that a route changes in requests.

    rules             header rules, None without any
    path, host        None if they stay
    auto_host         the authority becomes the chosen host's name, if it has one
    append_forwarded  the authority that is rewritten is appended to x-forwarded-host
    """

    __slots__ = ("_append_forwarded", "_host", "_host_of", "_path", "_rules", "auto_host")

    def __init__(
        self,
        rules: HeaderEdits | None,
        path: PathRewrite | None,
        host: HostRewrite | None,
        append_forwarded: bool,
        clocks: Clocks,
    ) -> None:
        self._rules = rules
        self._path = path
        self._append_forwarded = append_forwarded
        self._host = b"" if host is None else host.literal.encode()
        self._host_of = None if host is None else _compile_host(host, clocks)
        self.auto_host = host is not None and host.auto

    @property
    def empty(self) -> bool:
        return not (self._rules or self._path or self._host or self._host_of or self.auto_host)

    def apply(self, head: RequestHead, stream: Any, keep_original: bool) -> None:
        """`keep_original`: path and authority as they were go to x-envoy-original-path and -host."""
        if self._rules is not None:
            self._rules.apply_to_request(head, stream)
        if self._host:
            self._set_host(head, self._host, keep_original)
        elif self._host_of is not None:
            host = self._host_of(head, stream)
            # A name that is none goes nowhere: it could have come from the client.
            if host and valid_host(host):
                self._set_host(head, host, keep_original)
        if self._path is not None:
            path = self._path.apply(head.path, stream)
            if path:
                if keep_original:
                    head.set(ORIGINAL_PATH, head.path)
                head.path = path

    def name_host(self, head: RequestHead, hostname: str, keep_original: bool) -> None:
        """`auto_host_rewrite`, when the host that a request goes to is known."""
        if hostname:
            self._set_host(head, hostname.encode(), keep_original)

    def _set_host(self, head: RequestHead, host: bytes, keep_original: bool) -> None:
        """Envoy: Http::Utility::updateAuthority."""
        before = head.authority
        if keep_original:
            head.set(_ORIGINAL_HOST, before)
        if self._append_forwarded and before:
            forwarded = head.get(_FORWARDED_HOST)
            if not forwarded:
                head.set(_FORWARDED_HOST, before)
            elif forwarded.rpartition(b",")[2] != before:
                head.set(_FORWARDED_HOST, forwarded + b"," + before)
        head.authority = host


def _compile_host(host: HostRewrite, clocks: Clocks) -> Callable[[RequestHead, Any], bytes] | None:
    """What gives the new authority for a request, b"" for none."""
    if host.header:
        name = host.header.lower().encode()

        def from_header(head: RequestHead, stream: Any) -> bytes:
            values = head.get_all(name)
            return values[0] if values else b""

        return from_header
    if host.regex is not None:
        substitution = Substitution(host.regex.pattern, host.regex.substitution)
        return lambda head, stream: substitution.apply(head.path.partition(b"?")[0])
    if host.format:
        render = compile_format(host.format, clocks)
        return lambda head, stream: render(stream).encode("utf-8", "surrogateescape")
    return None
