"""A route configuration, compiled for look-up (Envoy: docs/root/configuration/http/http_conn_man/route_matching)."""

from __future__ import annotations

import re
from typing import Any

from twistproxy.http.message import RequestHead
from twistproxy.model.route import RouteConfiguration
from twistproxy.observe.access_log import Clocks
from twistproxy.observe.route_stats import RouteStatsRegistry
from twistproxy.primitives.described import Described
from twistproxy.route.action import Route
from twistproxy.route.entry import Entry
from twistproxy.route.header_rules import NO_CLOCKS, OuterRules
from twistproxy.route.virtual_host import Considered, VirtualHost

#: Parameters of a segment (RFC 3986 section 3.3).
_PARAMETERS = re.compile(rb";[^/]*")
#: Authorities whose virtual host is remembered; a client that makes up names only costs a new look-up.
_MAX_REMEMBERED = 4096


class Consideration:
    """How a request finds its route, for people: `RouteTable.consider`.

    virtual_host  the one by the authority, or None
    domain        the configured domain by which it was found; "" without one
    decisions     of its match tree, in words, if it has one
    considered    each route that was looked at, in order; of the last nothing failed if `route` was found among them
    route         what is taken, as `RouteTable.pick` would; None for none
    to_tls        whether `route` is the redirect to https of `require_tls`
    """

    __slots__ = ("considered", "decisions", "domain", "route", "to_tls", "virtual_host")

    def __init__(self, virtual_host: VirtualHost | None, domain: str) -> None:
        self.virtual_host = virtual_host
        self.domain = domain
        self.considered: list[Considered] = []
        self.decisions: list[str] = []
        self.route: Route | None = None
        self.to_tls = False


class RouteTable:
    """`pick(head, stream)` → the route of a request, or None; `consider` says how.

    The search for a virtual host is: exact domain, longest `*.suffix`, longest `prefix.*`, `*`.  Its cost does not
    depend on how many there are; the answer for an authority is remembered.
    """

    __slots__ = (
        "_default",
        "_exact",
        "_header",
        "_ignore_parameters",
        "_ignore_port",
        "_prefixes",
        "_remembered",
        "_suffixes",
        "name",
    )

    def __init__(
        self,
        configuration: RouteConfiguration,
        clocks: Clocks = NO_CLOCKS,
        registry: RouteStatsRegistry | None = None,
    ) -> None:
        self.name = configuration.name
        self._header = configuration.virtual_host_header.encode()
        self._ignore_port = configuration.ignore_port_in_host_matching
        self._ignore_parameters = configuration.ignore_path_parameters
        self._exact: dict[bytes, VirtualHost] = {}
        self._suffixes: dict[int, dict[bytes, VirtualHost]] = {}
        self._prefixes: dict[int, dict[bytes, VirtualHost]] = {}
        self._default: VirtualHost | None = None
        self._remembered: dict[bytes | None, VirtualHost | None] = {}
        for settings in configuration.virtual_hosts:
            rules = OuterRules(
                configuration.headers,
                settings.headers,
                configuration.most_specific_headers_win,
                clocks,
                settings.metadata,
            )
            virtual_host = VirtualHost(settings, rules, registry or RouteStatsRegistry())
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
        """`stream`: whose request it is, for what a route may ask beyond the head; None where there is only a head."""
        host = self._host(head) if self._header else head.authority
        try:
            virtual_host = self._remembered[host]
        except KeyError:
            virtual_host = self.search(host)[0]
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[host] = virtual_host
        if virtual_host is None:
            return None
        if virtual_host.to_tls is not None and virtual_host.needs_tls(head):
            return virtual_host.to_tls
        index = virtual_host.index
        if virtual_host.tree is not None:
            found = virtual_host.tree.find(head, stream, None)
            if found is None:
                return None
            index = found
        entry = index.first(head, self.match_path(head), stream)
        return None if entry is None else entry.choice.choose(head, stream)

    def consider(self, head: RequestHead, stream: Any) -> Consideration:
        """As `pick`, and how it came to that: every route before the one that is taken, with what it failed by."""
        virtual_host, domain = self.search(self._host(head) if self._header else head.authority)
        found = Consideration(virtual_host, domain)
        if virtual_host is None:
            return found
        if virtual_host.to_tls is not None and virtual_host.needs_tls(head):
            found.route = virtual_host.to_tls
            found.to_tls = True
            return found
        path = self.match_path(head)
        index = virtual_host.index
        if virtual_host.tree is not None:
            index = virtual_host.tree.find(head, stream, found.decisions) or index
        for entry in index.entries:
            failed = entry.first_failed(head, path, stream)
            found.considered.append(Considered(entry, failed))
            if failed is None:
                found.route = entry.choice.choose(head, stream)
                break
        return found

    def match_path(self, head: RequestHead) -> bytes:
        """The path that routes are matched with: without its query, and without parameters if they are ignored."""
        path = head.path
        if b"?" in path:
            path = path[: path.index(b"?")]
        if self._ignore_parameters and b";" in path:
            path = _PARAMETERS.sub(b"", path)
        return path

    def _host(self, head: RequestHead) -> bytes | None:
        """What the header says in place of the authority; of several fields the first; None without one."""
        values = head.get_all(self._header)
        return values[0] if values else None

    def search(self, authority: bytes | None) -> tuple[VirtualHost | None, str]:
        """The virtual host of an authority, and the domain that it was found by ("" for none)."""
        if authority is None:
            # Envoy looks for no name if all there is takes every name.
            only_default = self._default is not None and not (self._exact or self._suffixes or self._prefixes)
            return (self._default, "*") if only_default else (None, "")
        host = authority.lower()
        if self._ignore_port:
            host = _without_port(host)
        found = self._exact.get(host)
        if found is not None:
            return found, host.decode("latin-1")
        length = len(host)
        # A wildcard stands for at least one character.
        for size, suffixes in self._suffixes.items():
            if size < length and (found := suffixes.get(host[length - size :])) is not None:
                return found, "*" + host[length - size :].decode("latin-1")
        for size, prefixes in self._prefixes.items():
            if size < length and (found := prefixes.get(host[:size])) is not None:
                return found, host[:size].decode("latin-1") + "*"
        return self._default, "*" if self._default is not None else ""


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and b"]" not in port else host


__all__ = ["Consideration", "Described", "Entry", "RouteTable"]
