"""v1 route tables to v3 RouteConfigurations.

https://github.com/envoyproxy/envoy/tree/v1.5.0/docs/root/api-v1/route_config describes the v1 side.
"""

from __future__ import annotations

from typing import Any

from .v1_headers import header_matchers, headers_to_add, rate_limits, text_match
from .v1_reader import Part, Text, V1Object

_CORS_FILTER = "envoy.filters.http.cors"
_CORS_POLICY = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"


def route_configuration(table: V1Object) -> tuple[Part, bool]:
    """A route table, and whether any of its routes lets WebSockets through."""
    content: dict[str, Any] = {
        "virtual_hosts": [],
        "validate_clusters": table.boolean("validate_clusters"),
        "internal_only_headers": table.strings("internal_only_headers") or None,
        "response_headers_to_add": headers_to_add(table, "response_headers_to_add"),
        "response_headers_to_remove": table.strings("response_headers_to_remove") or None,
        "request_headers_to_add": headers_to_add(table, "request_headers_to_add"),
    }
    websocket = False
    hosts: list[Part] = []
    domains: set[str] = set()
    for host in table.objects("virtual_hosts", required=True):
        part, upgrades = _virtual_host(host, domains)
        hosts.append(part)
        websocket |= upgrades
    content["virtual_hosts"] = hosts
    return table.v3(content), websocket


def _virtual_host(host: V1Object, taken: set[str]) -> tuple[Part, bool]:
    """A virtual host; `taken` collects the table's domains, in lower case."""
    domains = host.strings("domains", required=True)
    for domain in domains:
        if domain.lower() in taken:
            host.problem(f'the domain "{domain}" is already taken in this table', "domains")
        taken.add(domain.lower())
    require = host.choice("require_ssl", ("all", "external_only"))
    routes = [_route(route) for route in host.objects("routes", required=True)]
    content = {
        "name": host.name(),
        "domains": domains,
        "routes": [part for part, _ in routes],
        "require_tls": require.upper() if require else None,
        "virtual_clusters": _virtual_clusters(host),
        "rate_limits": rate_limits(host),
        "request_headers_to_add": headers_to_add(host, "request_headers_to_add"),
        "typed_per_filter_config": _cors(host),
    }
    return host.v3(content), any(upgrades for _, upgrades in routes)


def _virtual_clusters(host: V1Object) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] = []
    for item in host.objects("virtual_clusters", least=1):
        pattern, method = item.string("pattern", required=True), item.string("method")
        headers: list[dict[str, Any]] = [
            {"name": ":path", "string_match": {"safe_regex": {"regex": pattern}}}
        ]
        if method is not None:
            headers.append({"name": ":method", "string_match": {"exact": method}})
        if item.has("priority"):
            item.warning("has had no effect since Envoy 1.4", "priority")
        # Open: the schema of v1 never looked into these objects.
        found.append(item.v3({"name": item.string("name", required=True), "headers": headers}, close=False))
    return found or None


def _route(route: V1Object) -> tuple[Part, bool]:
    """A route, and whether it lets WebSockets through."""
    match, regex = _match(route)
    websocket = route.boolean("use_websocket")
    redirect = _redirect(route)
    content: dict[str, Any] = {"match": match}
    targets = [key for key in ("cluster", "cluster_header", "weighted_clusters") if route.has(key)]
    if redirect is not None:
        if targets:
            route.problem(f"a redirect cannot have {targets[0]} as well", targets[0])
        if websocket:
            route.problem("a redirect cannot use WebSockets", "use_websocket")
        content["redirect"] = redirect
    elif len(targets) != 1:
        text = "needs exactly one of cluster, cluster_header, weighted_clusters, or a redirect"
        route.problem(text, targets[1] if targets else None)
    # Also for a redirect, where v1 read these keys and made nothing of them.
    action = _action(route, regex, bool(websocket))
    if redirect is None:
        content["route"] = action
    opaque = route.object("opaque_config")
    decorator = route.object("decorator")
    content |= {
        "metadata": _opaque(opaque) if opaque is not None else None,
        "decorator": _decorator(decorator) if decorator is not None else None,
        "typed_per_filter_config": _cors(route),
        "request_headers_to_add": headers_to_add(route, "request_headers_to_add"),
    }
    return route.v3(content), bool(websocket)


def _opaque(opaque: V1Object) -> dict[str, Any]:
    data = {key: opaque.string(key) for key in opaque.node.entries}
    return {"filter_metadata": {"envoy.filters.http.router": data}}


def _decorator(decorator: V1Object) -> Part:
    return decorator.v3({"operation": decorator.string("operation", required=True)})


def _match(route: V1Object) -> tuple[dict[str, Any], Text | None]:
    """The match of a route, and its regex if it has one."""
    given = [key for key in ("prefix", "path", "regex") if route.has(key)]
    if len(given) != 1:
        route.problem("needs exactly one of prefix, path, regex", given[1] if given else None)
    regex = route.string("regex")
    runtime = route.object("runtime")
    fraction = None
    if runtime is not None:
        percent = {"numerator": runtime.integer("default", True, 0, 100), "denominator": "HUNDRED"}
        key = runtime.string("key", required=True)
        fraction = runtime.v3({"default_value": percent, "runtime_key": key})
    content = {
        "prefix": route.string("prefix"),
        "path": route.string("path"),
        "safe_regex": {"regex": regex} if regex is not None else None,
        "case_sensitive": route.boolean("case_sensitive"),
        "runtime_fraction": fraction,
        "headers": header_matchers(route),
        "query_parameters": [_query(item) for item in route.objects("query_parameters", least=1)] or None,
    }
    if regex is not None:
        route.conversion.note(
            "Regular expressions: v1 read ECMAScript, v3 reads RE2, which has no look-around and no back-references."
        )
    return content, regex


def _query(item: V1Object) -> Part:
    name, value, regex = item.string("name", required=True), item.string("value"), item.boolean("regex")
    if value is None:
        return item.v3({"name": name, "present_match": True})
    return item.v3({"name": name, "string_match": text_match(value, regex)})


def _redirect(route: V1Object) -> dict[str, Any] | None:
    host, path = route.string("host_redirect"), route.string("path_redirect")
    return None if host is None and path is None else {"host_redirect": host, "path_redirect": path}


def _action(route: V1Object, regex: Text | None, websocket: bool) -> dict[str, Any]:
    """The keys that say where a route leads and how."""
    note = route.conversion.note
    timeout = route.milliseconds("timeout_ms", low=0)
    if websocket:
        timeout = "0s"
        note("WebSockets: v1 tunnelled TCP after the upgrade; v3 keeps HTTP's framing, filters and timeouts.")
    note(
        "An unknown cluster is answered 404 as in v1 (cluster_not_found_response_code); v3's default is 503."
    )
    auto = route.boolean("auto_host_rewrite")
    host = route.string("host_rewrite")
    if host is not None and route.has("auto_host_rewrite"):
        route.problem("host_rewrite and auto_host_rewrite exclude each other", "auto_host_rewrite")
        auto = None
    weighted, retry = route.object("weighted_clusters"), route.object("retry_policy")
    shadow, hash_policy = route.object("shadow"), route.object("hash_policy")
    priority = route.choice("priority", ("default", "high"))
    content = {
        "cluster": route.string("cluster", least=1),
        "cluster_header": route.string("cluster_header", least=1),
        "weighted_clusters": _weighted(weighted) if weighted is not None else None,
        "cluster_not_found_response_code": "NOT_FOUND",
        "host_rewrite_literal": host,
        "auto_host_rewrite": auto,
        "timeout": timeout,
        "retry_policy": _retry(retry) if retry is not None else None,
        "request_mirror_policies": [_shadow(shadow)] if shadow is not None else None,
        "priority": priority.upper() if priority else None,
        "rate_limits": rate_limits(route),
        "include_vh_rate_limits": route.boolean("include_vh_rate_limits"),
        "hash_policy": [_hash(hash_policy)] if hash_policy is not None else None,
        "upgrade_configs": [{"upgrade_type": "websocket", "enabled": True}] if websocket else None,
    }
    return content | _prefix_rewrite(route, regex)


def _prefix_rewrite(route: V1Object, regex: Text | None) -> dict[str, Any]:
    prefix = route.string("prefix_rewrite")
    if prefix is None or regex is None:
        return {"prefix_rewrite": prefix}
    # v1 replaced the whole path of a route that matched by regex.
    whole = {"pattern": {"regex": "^.*$"}, "substitution": Text(prefix.replace("\\", "\\\\"), prefix.offset)}
    return {"regex_rewrite": whole}


def _weighted(clusters: V1Object) -> Part:
    items = clusters.objects("clusters", required=True, least=1)
    content = []
    total = 0
    for item in items:
        weight = item.integer("weight", True, 0)
        total += weight or 0
        content.append(item.v3({"name": item.string("name", required=True), "weight": weight}))
    if items and total != 100:
        clusters.problem(f"the weights must add up to 100, and are {total}", "clusters")
    prefix = clusters.string("runtime_key_prefix")
    return clusters.v3({"clusters": content, "runtime_key_prefix": prefix})


def _retry(policy: V1Object) -> Part:
    content = {
        "retry_on": policy.string("retry_on", required=True),
        "num_retries": policy.integer("num_retries", low=0),
        "per_try_timeout": policy.milliseconds("per_try_timeout_ms"),
    }
    return policy.v3(content)


def _shadow(shadow: V1Object) -> Part:
    key = shadow.string("runtime_key")
    fraction = None
    if key is not None:
        # With a key and nothing in the runtime, v1 shadowed nothing.
        fraction = {"default_value": {"numerator": 0, "denominator": "TEN_THOUSAND"}, "runtime_key": key}
    return shadow.v3({"cluster": shadow.string("cluster", required=True), "runtime_fraction": fraction})


def _hash(policy: V1Object) -> Part:
    return policy.v3({"header": {"header_name": policy.string("header_name", required=True)}})


def _cors(owner: V1Object) -> dict[str, Any] | None:
    """The `cors` object of a virtual host or route as per-filter configuration."""
    policy = owner.object("cors")
    if policy is None:
        return None
    enabled = policy.boolean("enabled")
    origins = policy.strings("allow_origin")
    matchers = [{"safe_regex": {"regex": ".*"}} if origin == "*" else {"exact": origin} for origin in origins]
    percent = {"numerator": 0 if enabled is False else 100, "denominator": "HUNDRED"}
    content = {
        "@type": _CORS_POLICY,
        "allow_origin_string_match": matchers or None,
        "allow_methods": policy.string("allow_methods"),
        "allow_headers": policy.string("allow_headers"),
        "expose_headers": policy.string("expose_headers"),
        "max_age": policy.string("max_age"),
        "allow_credentials": policy.boolean("allow_credentials"),
        "filter_enabled": {"default_value": percent},
    }
    return {_CORS_FILTER: policy.v3(content)}
