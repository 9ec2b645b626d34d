"""A route configuration, compiled for look-up (Envoy: docs/root/configuration/http/http_conn_man/route_matching)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2

from twistproxy.http.message import RequestHead
from twistproxy.model.route import RouteConfiguration, RouteMatch, RouteSettings, VirtualHostSettings
from twistproxy.route.action import Route, compile_route

#: Does this path, without its query, match?  None stands for "always".
PathMatcher = Callable[[bytes], bool]

#: Authorities whose virtual host is remembered; a client that makes up names only costs a new look-up.
_MAX_REMEMBERED = 4096


class VirtualHost:
    """`routes`: pairs of a path matcher (None: any path) and the route, in order."""

    __slots__ = ("name", "routes")

    def __init__(self, settings: VirtualHostSettings) -> None:
        self.name = settings.name
        self.routes: list[tuple[PathMatcher | None, Route]] = [
            (compile_match(route.match), compile_route(route, settings.name)) for route in settings.routes
        ]


class RouteTable:
    """`pick(head, stream)` → the route of a request, or None.

    The search for a virtual host is: exact domain, longest `*.suffix`, longest `prefix.*`, `*`.  Its cost does not
    depend on how many there are; the answer for an authority is remembered.
    """

    __slots__ = ("_default", "_exact", "_ignore_port", "_prefixes", "_remembered", "_suffixes", "name")

    def __init__(self, configuration: RouteConfiguration) -> None:
        self.name = configuration.name
        self._ignore_port = configuration.ignore_port_in_host_matching
        self._exact: dict[bytes, VirtualHost] = {}
        self._suffixes: dict[int, dict[bytes, VirtualHost]] = {}
        self._prefixes: dict[int, dict[bytes, VirtualHost]] = {}
        self._default: VirtualHost | None = None
        self._remembered: dict[bytes, VirtualHost | None] = {}
        for settings in configuration.virtual_hosts:
            virtual_host = VirtualHost(settings)
            for domain in settings.domains:
                self._add(domain.lower().encode(), virtual_host)
        self._suffixes = dict(sorted(self._suffixes.items(), reverse=True))
        self._prefixes = dict(sorted(self._prefixes.items(), reverse=True))

    def _add(self, domain: bytes, virtual_host: VirtualHost) -> None:
        if domain == b"*":
            self._default = virtual_host
        elif domain.startswith(b"*"):
            self._suffixes.setdefault(len(domain) - 1, {})[domain[1:]] = virtual_host
        elif domain.endswith(b"*"):
            self._prefixes.setdefault(len(domain) - 1, {})[domain[:-1]] = virtual_host
        else:
            self._exact[domain] = virtual_host

    def pick(self, head: RequestHead, stream: Any) -> Route | None:
        """`stream`: whose request it is, for what a route may ask beyond the head."""
        try:
            virtual_host = self._remembered[head.authority]
        except KeyError:
            virtual_host = self.virtual_host(head.authority)
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[head.authority] = virtual_host
        if virtual_host is None:
            return None
        path = head.path
        if b"?" in path:
            path = path[: path.index(b"?")]
        for matches, route in virtual_host.routes:
            if matches is None or matches(path):
                return route
        return None

    def virtual_host(self, authority: bytes) -> VirtualHost | None:
        host = authority.lower()
        if self._ignore_port:
            host = _without_port(host)
        found = self._exact.get(host)
        if found is not None:
            return found
        length = len(host)
        # A wildcard stands for at least one character.
        for size, suffixes in self._suffixes.items():
            if size < length and (found := suffixes.get(host[length - size :])) is not None:
                return found
        for size, prefixes in self._prefixes.items():
            if size < length and (found := prefixes.get(host[:size])) is not None:
                return found
        return self._default


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host


def compile_match(match: RouteMatch) -> PathMatcher | None:
    """A predicate on the path without its query; None if every path matches."""
    if match.regex is not None:
        pattern = re2.compile(match.regex.encode())
        return lambda path: pattern.fullmatch(path) is not None
    if match.path_separated_prefix is not None:
        return _separated_prefix(match.path_separated_prefix.encode(), match.case_sensitive)
    if match.path is not None:
        wanted = match.path.encode()
        if match.case_sensitive:
            return wanted.__eq__
        lower_path = wanted.lower()
        return lambda path: path.lower() == lower_path
    prefix = (match.prefix or "").encode()
    if prefix in (b"", b"/"):
        # What reaches routing begins with "/", but for CONNECT (no path) and OPTIONS * .
        return None if not prefix else (lambda path: path[:1] == b"/")
    if match.case_sensitive:
        return lambda path: path.startswith(prefix)
    lower_prefix = prefix.lower()
    return lambda path: path.lower().startswith(lower_prefix)


def _separated_prefix(prefix: bytes, case_sensitive: bool) -> PathMatcher:
    if not case_sensitive:
        prefix = prefix.lower()
    size = len(prefix)

    def matches(path: bytes) -> bool:
        if not case_sensitive:
            path = path.lower()
        return path.startswith(prefix) and (len(path) == size or path[size : size + 1] == b"/")

    return matches


__all__ = ["RouteSettings", "RouteTable", "VirtualHost", "compile_match"]
