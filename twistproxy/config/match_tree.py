"""xds.type.matcher.v3.Matcher, as virtual hosts use it, to `model.route`."""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.config.fields import Reader
from twistproxy.config.matchers import string_matcher
from twistproxy.http.condition import Condition, Input
from twistproxy.model.route import MatchLeaf, MatchList, MatchMap, MatchNode, RouteSettings
from twistproxy.route.conditions import AllOf, AnyOf, FilterStateInput, HeaderInput, InputMatches, Not

_HEADER = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
_STATE = "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput"
_ROUTE = "envoy.config.route.v3.Route"
_ROUTES = "envoy.config.route.v3.RouteList"


class MatchTreeBuilder:
    """`routes` builds those at the ends of the tree."""

    def __init__(self, routes: Callable[[list[Reader]], tuple[RouteSettings, ...]]) -> None:
        self._routes = routes

    def build(self, reader: Reader) -> MatchNode:
        kind = reader.oneof("matcher_type")
        otherwise = self._on_match(reader.message("on_no_match"))
        if kind == "matcher_tree":
            return self._map(reader.message_or_empty("matcher_tree"), otherwise)
        branches = []
        if kind == "matcher_list":
            for one in reader.message_or_empty("matcher_list").messages("matchers"):
                then = self._on_match(one.message("on_match"))
                if then is not None:
                    branches.append((_predicate(one.message_or_empty("predicate")), then))
        return MatchList(tuple(branches), otherwise)

    def _map(self, reader: Reader, otherwise: MatchNode | None) -> MatchNode:
        what = _input(reader.message_or_empty("input"))
        kind = reader.oneof("tree_type")
        if kind not in ("exact_match_map", "prefix_match_map"):
            reader.refuse(kind, "is not implemented; exact_match_map and prefix_match_map are")
            return MatchList((), otherwise)
        entries = []
        for key, value in reader.message_or_empty(kind).map_messages("map").items():
            then = self._on_match(value)
            if then is not None:
                entries.append((key, then))
        return MatchMap(what, kind == "exact_match_map", tuple(entries), otherwise)

    def _on_match(self, reader: Reader | None) -> MatchNode | None:
        if reader is None:
            return None
        if reader.boolean("keep_matching"):
            reader.problem("keep_matching is not supported in this context", "keep_matching")
        kind = reader.oneof("on_match")
        if kind == "matcher":
            return self.build(reader.message_or_empty("matcher"))
        if kind is None:
            return None
        action = reader.message_or_empty("action")
        action.ignore("name")
        config = action.unpack("typed_config")
        if config is not None and config.type_name == _ROUTE:
            return MatchLeaf(self._routes([config]))
        if config is not None and config.type_name == _ROUTES:
            return MatchLeaf(self._routes(config.messages("routes")))
        action.refuse("typed_config", "Route and RouteList are the actions that there are")
        return None


def _input(reader: Reader) -> Input:
    """What is looked at."""
    reader.ignore("name")
    config = reader.unpack("typed_config")
    if config is not None and config.type_name == _STATE:
        return FilterStateInput(config.string("key"), config.string("field"))
    if config is None or config.type_name != _HEADER:
        saw = "" if config is None else f", saw {config.type_name}"
        reader.refuse("typed_config", f"Route table can only match on request headers{saw}")
        return HeaderInput("")
    return HeaderInput(config.string("header_name"))


def _predicate(reader: Reader) -> Condition:
    kind = reader.oneof("match_type")
    if kind == "single_predicate":
        single = reader.message_or_empty("single_predicate")
        what = _input(single.message_or_empty("input"))
        if single.oneof("matcher") != "value_match":
            single.refuse(single.oneof("matcher"), "is not implemented; value_match is")
        return InputMatches(what, string_matcher(single.message_or_empty("value_match")))
    if kind == "not_matcher":
        return Not(_predicate(reader.message_or_empty("not_matcher")))
    if kind in ("and_matcher", "or_matcher"):
        several = tuple(_predicate(one) for one in reader.message_or_empty(kind).messages("predicate"))
        return AllOf(several) if kind == "and_matcher" else AnyOf(several)
    reader.problem("a predicate is expected")
    return AnyOf(())
