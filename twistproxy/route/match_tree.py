"""The generic matching API in the place of a list of routes (Envoy: VirtualHost.matcher, xds.type.matcher.v3.Matcher).

A tree of lists of predicates and of maps by a value, with routes at its ends.  A branch in which nothing matches
is left again: the search goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twistproxy.http.condition import Condition, Input
from twistproxy.http.message import RequestHead
from twistproxy.model.route import MatchLeaf, MatchList, MatchMap, MatchNode, RouteSettings
from twistproxy.route.path_index import PathIndex


class Node:
    """The base of all."""

    __slots__ = ()

    def find(self, head: RequestHead, stream: Any, told: list[str] | None) -> PathIndex | None:
        """The routes for a request, None if nothing matches.

        stream  whose request it is; None where there is only a head
        told    gets each decision in words; None: nobody asks
        """
        raise NotImplementedError


class _Leaf(Node):
    __slots__ = ("_index",)

    def __init__(self, index: PathIndex) -> None:
        self._index = index

    def find(self, head: RequestHead, stream: Any, told: list[str] | None) -> PathIndex | None:
        return self._index


class _Nothing(Node):
    """No `on_no_match`."""

    __slots__ = ()

    def find(self, head: RequestHead, stream: Any, told: list[str] | None) -> PathIndex | None:
        return None


class _List(Node):
    __slots__ = ("_branches", "_otherwise")

    def __init__(self, branches: list[tuple[Condition, Node]], otherwise: Node) -> None:
        self._branches = branches
        self._otherwise = otherwise

    def find(self, head: RequestHead, stream: Any, told: list[str] | None) -> PathIndex | None:
        for predicate, node in self._branches:
            matches = predicate.matches(head, stream)
            if told is not None:
                told.append(f"{predicate.describe()}: {'yes' if matches else 'no'}")
            if matches:
                found = node.find(head, stream, told)
                if found is not None:
                    return found
        return self._otherwise.find(head, stream, told)


class _Map(Node):
    """By a value: the node of exactly this value, or those of its prefixes, the longest first."""

    __slots__ = ("_exact", "_nodes", "_otherwise", "_sizes", "input")

    def __init__(self, what: Input, exact: bool, nodes: dict[bytes, Node], otherwise: Node) -> None:
        self.input = what
        self._exact = exact
        self._nodes = nodes
        self._sizes = sorted({len(key) for key in nodes}, reverse=True)
        self._otherwise = otherwise

    def find(self, head: RequestHead, stream: Any, told: list[str] | None) -> PathIndex | None:
        value = self.input.value(head, stream)
        if value is not None:
            for size in (len(value),) if self._exact else self._sizes:
                node = self._nodes.get(value[:size]) if size <= len(value) else None
                if node is None:
                    continue
                if told is not None:
                    verb = "is" if self._exact else "starts with"
                    told.append(f"{self.input.describe()} {verb} {value[:size].decode('latin-1')!r}: yes")
                found = node.find(head, stream, told)
                if found is not None:
                    return found
        if told is not None:
            told.append(f"{self.input.describe()} leads to no routes")
        return self._otherwise.find(head, stream, told)


def compile_tree(
    settings: MatchNode | None, compile_routes: Callable[[tuple[RouteSettings, ...]], PathIndex]
) -> Node:
    """`compile_routes` makes the routes at the ends."""
    if settings is None:
        return _Nothing()
    if isinstance(settings, MatchLeaf):
        return _Leaf(compile_routes(settings.routes))
    otherwise = compile_tree(settings.otherwise, compile_routes)
    if isinstance(settings, MatchList):
        branches = [(predicate, compile_tree(node, compile_routes)) for predicate, node in settings.branches]
        return _List(branches, otherwise)
    assert isinstance(settings, MatchMap)
    nodes = {key.encode(): compile_tree(node, compile_routes) for key, node in settings.entries}
    return _Map(settings.input, settings.exact, nodes, otherwise)
