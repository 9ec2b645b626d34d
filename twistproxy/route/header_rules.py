"""Header rules, compiled (Envoy: docs/root/configuration/http/http_conn_man/headers, "Custom request/response headers").

The levels act one after the other, each on what the one before left: first it removes, then all its values are made,
then it overwrites, then it adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twistproxy.http.headers import Header, HeaderMap
from twistproxy.http.known_headers import SINGLE_REQUEST, SINGLE_RESPONSE
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.header_rules import NO_RULES, HeaderRules, HeaderToAdd, RuleLevel
from twistproxy.observe.access_log import Clocks, compile_format

#: What may not be in a header's value, whatever an operator says.
_FORBIDDEN = b"\r\n\0"

#: For tables without a clock: %START_TIME% is the epoch.
NO_CLOCKS = Clocks(float, float)

#: In responses these are the connection manager's alone.
_HOP_BY_HOP = frozenset(("connection", "proxy-connection"))

_APPEND = "APPEND_IF_EXISTS_OR_ADD"
_ADD_IF_ABSENT = "ADD_IF_ABSENT"
_OVERWRITE_IF_EXISTS = "OVERWRITE_IF_EXISTS"


class HeaderEdits:
    """The rules of all levels for one route and one direction, in the order in which they act."""

    __slots__ = ("_levels",)

    def __init__(self, levels: list[_Level]) -> None:
        self._levels = levels

    def apply_to_request(self, head: RequestHead, stream: Any) -> None:
        for level in self._levels:
            if level.host is not None:
                head.authority = level.host
            level.apply(head, stream)

    def apply_to_response(self, head: ResponseHead, stream: Any) -> None:
        """Operators see `head` as the response."""
        before = stream.response
        stream.response = head
        for level in self._levels:
            level.apply(head, stream)
        stream.response = before


class _Entry:
    """One header to add.  `constant` is its value if that has no operators."""

    __slots__ = ("action", "constant", "keep_empty", "name", "render")

    def __init__(self, rule: HeaderToAdd, clocks: Clocks) -> None:
        self.name = rule.name.encode()
        self.action = rule.action
        self.keep_empty = rule.keep_empty
        self.constant: bytes | None = None
        self.render: Callable[[Any], str] | None = None
        if "%" in rule.value:
            self.render = compile_format(rule.value, clocks, missing="")
        else:
            self.constant = rule.value.encode()

    def value(self, stream: Any) -> bytes:
        render = self.render
        if render is None:
            assert self.constant is not None
            return self.constant
        return render(stream).encode("utf-8", "surrogateescape").translate(None, _FORBIDDEN)

    @property
    def is_plain(self) -> bool:
        """Whether the same is appended to each message."""
        return self.constant is not None and self.action == _APPEND


class _Level:
    """removed   names that go
    appended  fields that are added to each message, after all else
    entries   what has to be looked at for each message; None if there is nothing of that kind
    joined    of the names that may come twice, those of which there is only one field
    host      what the authority becomes before all else; None: it stays
    """

    __slots__ = ("appended", "entries", "host", "joined", "removed")

    def __init__(
        self, rules: HeaderRules, clocks: Clocks, single: frozenset[bytes], host: bytes | None
    ) -> None:
        self.host = host
        self.removed = frozenset([name.encode() for name in rules.remove])
        entries = [_Entry(rule, clocks) for rule in rules.add]
        entries = [one for one in entries if one.constant != b"" or one.keep_empty]
        self.appended: list[Header] = []
        self.entries: list[_Entry] | None = None
        if all(one.is_plain for one in entries):
            self.appended = [(one.name, one.constant or b"") for one in entries]
        else:
            self.entries = entries
        self.joined = single.intersection([one.name for one in entries])

    @property
    def empty(self) -> bool:
        return not self.removed and not self.appended and self.entries is None and self.host is None

    def merge(self, after: _Level) -> bool:
        """Take in the level that acts after this one, if that makes no difference."""
        if after.removed or after.entries is not None or after.host is not None:
            return False
        self.appended = self.appended + after.appended
        self.joined = self.joined | after.joined
        return True

    def apply(self, head: HeaderMap, stream: Any) -> None:
        if self.removed:
            head.remove_all(self.removed)
        added = self.appended
        if self.entries is not None:
            added = self._evaluate(self.entries, head, stream) + added
        if added:
            head.items.extend(added)
            head.index.update(added)
            if self.joined:
                head.join(self.joined)

    def _evaluate(self, entries: list[_Entry], head: HeaderMap, stream: Any) -> list[Header]:
        """What is to be added, when all values are known and what is overwritten is gone."""
        overwritten: list[Header] = []
        added: list[Header] = []
        for entry in entries:
            name = entry.name
            action = entry.action
            value = entry.value(stream)
            if not value and not entry.keep_empty:
                continue
            if action in (_APPEND, _ADD_IF_ABSENT):
                if action == _APPEND or name not in head.index:
                    added.append((name, value))
            elif action != _OVERWRITE_IF_EXISTS or name in head.index:
                overwritten.append((name, value))
        for name, value in overwritten:
            head.remove(name)
            head.add(name, value)
        return added


def compile_edits(
    levels: Iterable[tuple[HeaderRules, bytes | None]], clocks: Clocks, single: frozenset[bytes]
) -> HeaderEdits | None:
    """None if there is nothing to do.

    levels  in the order in which they act, each with what the authority becomes before it, or None
    single  the names of which there is only one field (`http.known_headers`)
    """
    compiled: list[_Level] = []
    for rules, host in levels:
        level = _Level(rules, clocks, single, host)
        if not level.empty and not (compiled and compiled[-1].merge(level)):
            compiled.append(level)
    return HeaderEdits(compiled) if compiled else None


class OuterRules:
    """The rules around the routes of one virtual host: its own and those of the route configuration.

    host_metadata  what is attached to the virtual host, by namespace; None for nothing
    """

    __slots__ = ("_most_specific_wins", "_outer", "clocks", "host_metadata")

    def __init__(
        self,
        configuration: RuleLevel = NO_RULES,
        virtual_host: RuleLevel = NO_RULES,
        most_specific_wins: bool = False,
        clocks: Clocks = NO_CLOCKS,
        host_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.host_metadata = host_metadata
        self._outer = (virtual_host, configuration)
        self._most_specific_wins = most_specific_wins
        self.clocks = clocks

    def tell_router(self, route: RuleLevel, cluster: RuleLevel) -> bool:
        """Whether requests get headers that may tell the router to retry (x-envoy-retry-on and its likes)."""
        levels = (cluster, route, *self._outer)
        return any(one.name.startswith("x-envoy-") for level in levels for one in level.request.add)

    def compile(
        self, route: RuleLevel, cluster: RuleLevel = NO_RULES, host: bytes = b""
    ) -> tuple[HeaderEdits | None, HeaderEdits | None]:
        """What a route does to requests and to responses.

        cluster, host  the rules and `host_rewrite_literal` of a weighted cluster, which always come first
        """
        levels = (route, *self._outer)
        if self._most_specific_wins:
            levels = levels[::-1]
        request = [(level.request, None) for level in levels]
        response = [(_end_to_end(level.response), None) for level in (cluster, *levels)]
        return (
            compile_edits(
                [(cluster.request, None), (HeaderRules(), host or None), *request],
                self.clocks,
                SINGLE_REQUEST,
            ),
            compile_edits(response, self.clocks, SINGLE_RESPONSE),
        )


def _end_to_end(rules: HeaderRules) -> HeaderRules:
    return HeaderRules(tuple(rule for rule in rules.add if rule.name not in _HOP_BY_HOP), rules.remove)
