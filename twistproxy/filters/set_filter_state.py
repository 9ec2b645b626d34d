"""Leaves filter state with a request, or with a connection for all of its requests (Envoy: configuration/http/
http_filters/set_filter_state, configuration/listeners/network_filters/set_filter_state)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twistproxy.api.filter_state import FACTORIES
from twistproxy.api.http_filter import FilterStatus
from twistproxy.filters.tools import FilterTools
from twistproxy.http.message import RequestHead
from twistproxy.model.access_log import LogFormat
from twistproxy.model.http_filters import SetFilterStateSettings, StateRule

#: A format, compiled.
Compile = Callable[[LogFormat], Callable[[Any], str]]


class StateRules:
    """Rules that act one after the other: each knows what those before it have set."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Iterable[StateRule], compile_format: Compile) -> None:
        self._rules = [(one, compile_format(one.format), FACTORIES[one.factory]) for one in rules]

    def apply(self, stream: Any) -> None:
        """A text of which a factory makes nothing leaves things as they are, and what is set for the connection stays."""
        below = stream.connection.filter_state
        for rule, render, make in self._rules:
            text = render(stream)
            if not text and rule.skip_if_empty:
                continue
            made = make(text)
            if made is None or (below is not None and rule.key in below):
                continue
            made.shared = rule.shared
            state = stream.filter_state
            if state is None or state is below:
                state = stream.filter_state = {} if below is None else dict(below)
            state[rule.key] = made


class SetFilterStateFilter:
    """The rules of all levels act: the filter's own first, those of the route last."""

    def __init__(
        self,
        settings: SetFilterStateSettings,
        overrides: tuple[SetFilterStateSettings, ...],
        tools: FilterTools,
    ) -> None:
        levels = (settings, *overrides[::-1])
        self._rules = StateRules([rule for level in levels for rule in level.rules], tools.compile_format)
        self._clear_route_cache = settings.clear_route_cache

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> FilterStatus:
        self._rules.apply(stream)
        if self._clear_route_cache:
            stream.clear_route_cache()
        return FilterStatus.CONTINUE
