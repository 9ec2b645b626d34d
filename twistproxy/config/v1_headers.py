"""v1 header matchers, header additions and rate-limit actions to v3: what several parts of v1 share."""

from __future__ import annotations

from typing import Any

from .v1_reader import Text, V1Object


def header_matchers(owner: V1Object, required: bool = False) -> list[dict[str, Any]] | None:
    """The matchers in the array `headers`."""
    return [_header_matcher(item) for item in owner.objects("headers", required, least=1)] or None


def _header_matcher(matcher: V1Object) -> dict[str, Any]:
    content: dict[str, Any] = {"name": matcher.string("name", required=True, least=1)}
    value = matcher.string("value")
    regex = matcher.boolean("regex")
    bounds = matcher.object("range_match")
    if bounds is not None:
        start, end = bounds.integer("start", True), bounds.integer("end", True)
        content["range_match"] = bounds.v3({"start": start, "end": end})
    elif value is None:
        content["present_match"] = True
    else:
        content["string_match"] = text_match(value, regex)
    return matcher.v3(content)


def text_match(value: Text, regex: bool | None) -> dict[str, Any]:
    """A v3 StringMatcher; a v1 regex matches the whole subject, as v3's does."""
    return {"safe_regex": {"regex": value}} if regex else {"exact": value}


def headers_to_add(owner: V1Object, key: str) -> list[dict[str, Any]] | None:
    """A v1 key/value list as v3 HeaderValueOptions.  v1 always appended."""
    added = []
    seen: set[tuple[str | None, str | None]] = set()
    for pair in owner.objects(key, least=1):
        name, value = pair.string("key", required=True), pair.string("value", required=True)
        if (name, value) in seen:
            owner.problem("has the same header and value twice", key)
        seen.add((name, value))
        if value is not None:
            value = Text(
                value.replace("%CLIENT_IP%", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"), value.offset
            )
        header = pair.v3({"key": name, "value": value})
        added.append({"header": header, "append_action": "APPEND_IF_EXISTS_OR_ADD"})
    return added or None


def rate_limits(owner: V1Object) -> list[dict[str, Any]] | None:
    """The array `rate_limits` of a virtual host or route."""
    return [_rate_limit(item) for item in owner.objects("rate_limits")] or None


def _rate_limit(limit: V1Object) -> dict[str, Any]:
    content = {
        "stage": limit.integer("stage", low=0, high=10),
        "disable_key": limit.string("disable_key"),
        "actions": [_action(action) for action in limit.objects("actions", required=True, least=1)],
    }
    return limit.v3(content)


def _action(action: V1Object) -> dict[str, Any]:
    plain = ("source_cluster", "destination_cluster", "remote_address")
    kinds = (*plain, "request_headers", "generic_key", "header_value_match")
    kind = action.choice("type", kinds, required=True)
    content: dict[str, Any] = {}
    if kind == "request_headers":
        content = {key: action.string(key, required=True) for key in ("header_name", "descriptor_key")}
    elif kind == "generic_key":
        content = {"descriptor_value": action.string("descriptor_value", required=True)}
    elif kind == "header_value_match":
        content = {
            "descriptor_value": action.string("descriptor_value", required=True),
            "headers": header_matchers(action, required=True),
            "expect_match": action.boolean("expect_match"),
        }
    elif kind is None:
        return {}
    return action.v3({str(kind): content})
