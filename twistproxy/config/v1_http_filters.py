"""v1 HTTP filters to v3.

The schema of v1 never looked into these objects, so they may have further keys; their `config` was checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .suggest import did_you_mean
from .v1_address import cidrs_of
from .v1_headers import header_matchers
from .v1_reader import Part, V1Object, duration, typed, typed_struct

FilterMaker: TypeAlias = Callable[[V1Object], "dict[str, Any] | None"]

_HTTP = "envoy.extensions.filters.http"
_REQUEST_TYPES = ("internal", "external", "both")


def http_filters(manager: V1Object) -> tuple[list[Part], str | None]:
    """The filters of a connection manager, and the request timeout that a `buffer` filter among them sets."""
    made: list[Part] = []
    timeout = None
    for item in manager.objects("filters", required=True, least=1):
        name, config = item.string("name", required=True), item.object("config", required=True)
        if name is None or config is None:
            continue
        short = name.removeprefix("envoy.").removeprefix("filters.http.")
        maker = _MAKERS.get(short)
        if maker is None:
            item.problem(f'unknown HTTP filter "{name}"{did_you_mean(short, _MAKERS)}', "name")
            continue
        content = maker(config)
        if short == "buffer":
            seconds = config.integer("max_request_time_s", True, 1)
            timeout = None if seconds is None else duration(seconds * 1000)
            text = "Buffer filter: max_request_time_s became the request_timeout of the connection manager."
            config.conversion.note(text)
        config.close()
        if content is not None:
            made.append(item.v3(content, close=False))
    return made, timeout


def _extension(package: str, message: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
    return typed(f"envoy.filters.http.{package}", f"{_HTTP}.{package}.v3.{message}", content)


def _router(config: V1Object) -> dict[str, Any]:
    content = {
        "dynamic_stats": config.boolean("dynamic_stats"),
        "start_child_span": config.boolean("start_child_span"),
    }
    return _extension("router", "Router", content)


def _buffer(config: V1Object) -> dict[str, Any]:
    return _extension("buffer", "Buffer", {"max_request_bytes": config.integer("max_request_bytes", True, 1)})


def _health_check(config: V1Object) -> dict[str, Any]:
    through = config.boolean("pass_through_mode", required=True)
    endpoint, cache = config.string("endpoint", required=True), config.milliseconds("cache_time_ms", low=0)
    if cache is not None and through is False:
        config.problem("is for pass_through_mode only", "cache_time_ms")
    content = {
        "pass_through_mode": through,
        "cache_time": cache,
        "headers": [{"name": ":path", "string_match": {"exact": endpoint}}],
    }
    return _extension("health_check", "HealthCheck", content)


def _fault(config: V1Object) -> dict[str, Any]:
    abort, delay = config.object("abort"), config.object("delay")
    if abort is None and delay is None:
        config.problem("needs abort, delay or both")
    content: dict[str, Any] = {
        "upstream_cluster": config.string("upstream_cluster"),
        "headers": header_matchers(config),
        "downstream_nodes": config.strings("downstream_nodes", least=1) or None,
    }
    if abort is not None:
        percent = _percent(abort.integer("abort_percent", True, 0, 100))
        status = abort.integer("http_status", True, 200, 599)
        content["abort"] = abort.v3({"percentage": percent, "http_status": status})
    if delay is not None:
        delay.choice("type", ("fixed",), required=True)
        percent = _percent(delay.integer("fixed_delay_percent", True, 0, 100))
        fixed = delay.milliseconds("fixed_duration_ms", required=True)
        content["delay"] = delay.v3({"percentage": percent, "fixed_delay": fixed})
    return _extension("fault", "HTTPFault", content)


def _percent(value: int | None) -> dict[str, Any]:
    return {"numerator": value, "denominator": "HUNDRED"}


def _rate_limit(config: V1Object) -> dict[str, Any] | None:
    content = {
        "domain": config.string("domain", required=True),
        "stage": config.integer("stage", low=0, high=10),
        "request_type": config.choice("request_type", _REQUEST_TYPES),
        "timeout": config.milliseconds("timeout_ms"),
        "rate_limit_service": config.conversion.rate_limit_service,
    }
    if config.raw("actions") is not None:
        text = "rate limit actions belong to routes and virtual hosts (rate_limits); these do nothing"
        config.warning(text, "actions")
    if config.conversion.rate_limit_service is None:
        config.warning("without rate_limit_service at the top it lets everything pass, as in v1: left out")
        return None
    return _extension("ratelimit", "RateLimit", content)


def _lua(config: V1Object) -> dict[str, Any]:
    code = config.string("inline_code", required=True)
    return _extension("lua", "Lua", {"default_source_code": {"inline_string": code}})


def _cors(config: V1Object) -> dict[str, Any]:
    return _extension("cors", "Cors")


def _grpc_http1_bridge(config: V1Object) -> dict[str, Any]:
    return _extension("grpc_http1_bridge", "Config")


def _grpc_web(config: V1Object) -> dict[str, Any]:
    return _extension("grpc_web", "GrpcWeb")


def _grpc_json_transcoder(config: V1Object) -> dict[str, Any]:
    options = config.object("print_options")
    printing = None
    if options is not None:
        names = (
            "add_whitespace",
            "always_print_primitive_fields",
            "always_print_enums_as_ints",
            "preserve_proto_field_names",
        )
        printing = options.v3({name: options.boolean(name) for name in names})
    content = {
        "proto_descriptor": config.string("proto_descriptor", required=True),
        "services": config.strings("services", required=True, least=1, unique=True),
        "print_options": printing,
    }
    return _extension("grpc_json_transcoder", "GrpcJsonTranscoder", content)


def _ip_tagging(config: V1Object) -> dict[str, Any]:
    kind = config.choice("request_type", _REQUEST_TYPES)
    tags = []
    for tag in config.objects("ip_tags", required=True, least=1):
        ranges = cidrs_of(tag, "ip_list", required=True, least=1)
        tags.append(tag.v3({"ip_tag_name": tag.string("ip_tag_name", required=True), "ip_list": ranges}))
    content = {"request_type": kind.upper() if kind else None, "ip_tags": tags}
    return _extension("ip_tagging", "IPTagging", content)


def _dynamo(config: V1Object) -> dict[str, Any]:
    config.warning("the DynamoDB filter is no longer in Envoy")
    return typed_struct("envoy.filters.http.dynamo", f"{_HTTP}.dynamo.v3.Dynamo", {})


def _squash(config: V1Object) -> dict[str, Any]:
    config.warning("the Squash filter is no longer in Envoy")
    content = {
        "cluster": config.string("cluster", required=True),
        "attachment_template": config.plain("attachment_template"),
        "attachment_timeout": config.milliseconds("attachment_timeout_ms"),
        "attachment_poll_period": config.milliseconds("attachment_poll_period_ms"),
        "request_timeout": config.milliseconds("request_timeout_ms"),
    }
    return typed_struct("envoy.filters.http.squash", f"{_HTTP}.squash.v3.Squash", content)


_MAKERS: dict[str, FilterMaker] = {
    "router": _router,
    "buffer": _buffer,
    "health_check": _health_check,
    "fault": _fault,
    "rate_limit": _rate_limit,
    "lua": _lua,
    "cors": _cors,
    "grpc_http1_bridge": _grpc_http1_bridge,
    "grpc_web": _grpc_web,
    "grpc_json_transcoder": _grpc_json_transcoder,
    "ip_tagging": _ip_tagging,
    "http_dynamo_filter": _dynamo,
    "squash": _squash,
}
