"""envoy.extensions.filters.common.set_filter_state.v3 to `model.http_filters`."""

from __future__ import annotations

from twistproxy.api.filter_state import FACTORIES
from twistproxy.config.fields import Reader
from twistproxy.config.log_format import build_format
from twistproxy.model.http_filters import RouteFilter, SetFilterStateSettings, StateRule


def build_set_filter_state(reader: Reader, cluster: str = "") -> SetFilterStateSettings:
    """envoy.extensions.filters.http.set_filter_state.v3.Config."""
    return SetFilterStateSettings(
        build_state_rules(reader, "on_request_headers"), reader.boolean("clear_route_cache")
    )


def build_set_filter_state_override(reader: Reader) -> RouteFilter:
    """The same of a route, which acts besides what is said further out.  Whether the route is picked anew is only said by
    the filter itself."""
    return RouteFilter(SetFilterStateSettings(build_state_rules(reader, "on_request_headers")))


def build_state_rules(owner: Reader, field: str) -> tuple[StateRule, ...]:
    """A repeated field of FilterStateValue."""
    rules = [_rule(one) for one in owner.messages(field)]
    return tuple(rule for rule in rules if rule is not None)


def _rule(reader: Reader) -> StateRule | None:
    key = reader.string("object_key")
    factory = reader.string("factory_key") or key
    reader.ignore("read_only")  # it changes nothing in Envoy 1.40, which calls it deprecated
    sharing = reader.enum("shared_with_upstream")
    skip_if_empty = reader.boolean("skip_if_empty")
    given = reader.message("format_string")
    form = None if given is None else build_format(given)
    if factory not in FACTORIES:
        reader.problem(
            f"'{key}' does not have an object factory", "factory_key" if factory != key else "object_key"
        )
        return None
    if form is None:
        return None
    return StateRule(key, factory, form, skip_if_empty, sharing != "NONE")
