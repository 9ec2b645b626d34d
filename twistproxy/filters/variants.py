"""The filter chains of one connection manager: what routes say about filters is made into chains of their own.

A route that says nothing has the manager's own chain.  For one that does, the first request makes a chain, in which the
filters that it disables are missing and those that it sets up are objects of their own.  So a request that has its chain
need not look at any per-route settings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twistproxy.api.http_filter import FilterChain, TerminalFilter
from twistproxy.filters.registry import make_filter
from twistproxy.filters.tools import FilterTools
from twistproxy.model.http_filters import FilterLevel, HttpFilterSettings, RouteFilter


class ChainVariants:
    """`default`: the chain where a route says nothing."""

    def __init__(
        self, slots: tuple[HttpFilterSettings, ...], router: TerminalFilter, tools: FilterTools
    ) -> None:
        self._slots = slots
        self._router = router
        self._tools = tools
        # By the identity of a route's levels, which the value keeps alive.
        self._made: dict[int, tuple[tuple[FilterLevel, ...], FilterChain]] = {}
        self._plain = tuple(make_filter(slot.settings, (), replace(tools, name=slot.name)) for slot in slots)
        self.default = FilterChain(
            tuple(None if slot.disabled else one for slot, one in zip(slots, self._plain)), router, self
        )

    def select(self, route: Any) -> FilterChain:
        levels: tuple[FilterLevel, ...] = () if route is None else route.filters
        if not levels:
            return self.default
        made = self._made.get(id(levels))
        if made is None or made[0] is not levels:
            made = (levels, self._make(levels))
            self._made[id(levels)] = made
        return made[1]

    def routes_changed(self) -> None:
        """Forget the chains of routes that are no more."""
        self._made.clear()

    def _make(self, levels: tuple[FilterLevel, ...]) -> FilterChain:
        filters: list[Any] = []
        for slot, plain in zip(self._slots, self._plain):
            said: list[RouteFilter] = [level[slot.name] for level in levels if slot.name in level]
            disabled = said[0].disabled if said else slot.disabled
            settings = _settings(said)
            if not settings and slot.old_name:
                settings = _settings([level[slot.old_name] for level in levels if slot.old_name in level])
            if disabled:
                filters.append(None)
            else:
                tools = replace(self._tools, name=slot.name)
                filters.append(make_filter(slot.settings, settings, tools) if settings else plain)
        return FilterChain(tuple(filters), self._router, self)


def _settings(said: list[RouteFilter]) -> tuple[Any, ...]:
    return tuple(one.settings for one in said if one.settings is not None)


def make_chain(
    slots: tuple[HttpFilterSettings, ...], router: TerminalFilter, tools: FilterTools
) -> FilterChain:
    """The chain of a connection manager."""
    return ChainVariants(slots, router, tools).default if slots else FilterChain((), router)


def make_own_chain(
    slots: tuple[HttpFilterSettings, ...], router: TerminalFilter, tools: FilterTools
) -> FilterChain:
    """A chain for some of the requests.  It is walked even if it is the router alone, so that their answers do not go
    through the filters of the usual chain."""
    return ChainVariants(slots, router, tools).default
