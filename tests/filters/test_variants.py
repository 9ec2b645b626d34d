"""Chains by route."""

from __future__ import annotations

from typing import Any

from twistproxy.filters.buffer import BufferFilter
from twistproxy.filters.tools import FilterTools
from twistproxy.filters.variants import ChainVariants
from twistproxy.model.http_filters import (
    BufferSettings,
    FilterLevel,
    HttpFilterSettings,
    RouteFilter,
    SetMetadataSettings,
)


class Route:
    def __init__(self, *levels: FilterLevel) -> None:
        self.filters = levels


def limits(chain: Any) -> list[int | None]:
    """The limit of each buffer filter in the chain, None for one that is not there."""
    found = []
    for one in chain.filters:
        assert one is None or isinstance(one, BufferFilter)
        found.append(None if one is None else one._limit)
    return found


SLOTS = (
    HttpFilterSettings("a", BufferSettings(1)),
    HttpFilterSettings("b", BufferSettings(2), disabled=True),
)


def variants() -> ChainVariants:
    nothing: Any = None
    tools = FilterTools({}, {}, nothing, *[nothing] * 8)
    router: Any = None
    return ChainVariants(SLOTS, router, tools)


def test_routes_that_say_nothing_have_the_chain_of_the_manager() -> None:
    made = variants()
    assert limits(made.default) == [1, None]
    assert made.select(None) is made.select(Route()) is made.default
    assert not made.default.plain


def test_the_nearest_level_decides() -> None:
    made = variants()
    host: FilterLevel = {"a": RouteFilter(None, True), "b": RouteFilter(BufferSettings(9))}
    assert limits(made.select(Route(host))) == [None, 9]
    assert limits(made.select(Route({"a": RouteFilter(BufferSettings(5))}, host))) == [5, 9]
    assert limits(made.select(Route({"b": RouteFilter(None, True)}, host))) == [None, None]
    assert limits(made.select(Route({"b": RouteFilter()}, {}))) == [1, 2]


def test_settings_of_another_filter_do_not_count() -> None:
    assert limits(variants().select(Route({"a": RouteFilter(SetMetadataSettings(()))}))) == [1, None]


def test_a_chain_is_made_once_for_the_same_levels() -> None:
    made = variants()
    route = Route({"a": RouteFilter(BufferSettings(5))})
    first = made.select(route)
    assert made.select(route) is first
    made.routes_changed()
    assert made.select(route) is not first
