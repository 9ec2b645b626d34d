"""`http_protocol_options` and what goes with it, of connection managers and clusters, to `model.http1`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from twistproxy.config.fields import Reader
from twistproxy.config.manager_heads import underscores
from twistproxy.config.matchers import string_matcher
from twistproxy.config.outlier import build_error_matcher
from twistproxy.config.retry import build_retry_policy
from twistproxy.http.response_match import ResponseMatcher
from twistproxy.model.bootstrap import Bootstrap
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.http1 import Http1Settings, KeyFormat, UpstreamHttp1Settings
from twistproxy.model.listener import ListenerSettings
from twistproxy.model.retry import RetryPolicy

_UPSTREAM_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PRESERVE_CASE = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"


def build_http1(manager: Reader, common: Reader) -> Http1Settings:
    """Of a connection manager; `common`: its common_http_protocol_options."""
    options = manager.message_or_empty("http_protocol_options")
    _parser(options)
    # It is about upstreams.
    options.ignore("send_fully_qualified_url")
    common.ignore("max_response_headers_kb")
    return Http1Settings(
        accept_http_10=options.boolean("accept_http_10"),
        default_host_for_http_10=options.string("default_host_for_http_10").encode(),
        enable_trailers=options.boolean("enable_trailers"),
        allow_absolute_url=options.boolean("allow_absolute_url", True),
        max_head_bytes=manager.integer("max_request_headers_kb", 60) * 1024,
        max_headers=common.integer("max_headers_count", 100),
        underscores=underscores(common),
        allow_chunked_length=options.boolean("allow_chunked_length"),
        custom_methods=options.boolean("allow_custom_methods"),
        ignored_upgrades=tuple(string_matcher(one) for one in options.messages("ignore_http_11_upgrade")),
        key_format=_key_format(options),
    )


def stays_open_after_error(manager: Reader) -> bool:
    """The HTTP/1 options win over the manager's own field."""
    options = manager.message_or_empty("http_protocol_options")
    usual = manager.boolean("stream_error_on_invalid_http_message")
    return options.boolean("override_stream_error_on_invalid_http_message", usual)


@dataclass
class UpstreamHttp:
    """What the protocol options of a cluster say.  `http2`: whether its hosts speak HTTP/2 as well; `errors`: which
    responses outlier detection counts as failures."""

    http1: UpstreamHttp1Settings = field(default_factory=UpstreamHttp1Settings)
    idle_timeout: float | None = 3600.0
    max_connection_duration: float | None = None
    max_requests: int = 0
    max_stream_duration: float = 0.0
    retry: RetryPolicy | None = None
    http2: bool = False
    errors: ResponseMatcher | None = None


def build_upstream_http(cluster: Reader) -> UpstreamHttp:
    """Of a cluster: `typed_extension_protocol_options`, or the fields of the cluster itself from before there were
    any."""
    found = UpstreamHttp()
    if cluster.has("common_http_protocol_options") or cluster.has("http_protocol_options"):
        _read_upstream(cluster, cluster.message("http_protocol_options"), found)
    options = cluster.map_messages("typed_extension_protocol_options")
    for name, entry in options.items():
        if entry.type_name != _UPSTREAM_HTTP:
            cluster.problem(
                f"{name}: {entry.type_name} is not implemented", "typed_extension_protocol_options"
            )
            entry.ignore_all()
            continue
        explicit = entry.message("explicit_http_config")
        http1 = None
        if explicit is not None:
            http1 = explicit.message("http_protocol_options")
            kind = explicit.oneof("protocol_config")
            if kind not in (None, "http_protocol_options"):
                explicit.refuse(kind, "only HTTP/1.1 to upstreams is implemented so far")
        downstream = entry.message("use_downstream_protocol_config")
        if downstream is not None:
            # Clients speak HTTP/1.1, and so it is spoken to the hosts.
            http1 = downstream.message("http_protocol_options")
            found.http2 = downstream.message("http2_protocol_options") is not None
        _read_upstream(entry, http1, found)
        found.retry = build_retry_policy(entry.message("retry_policy"))
        found.errors = build_error_matcher(entry)
    return found


def _read_upstream(reader: Reader, options: Reader | None, found: UpstreamHttp) -> None:
    common = reader.message_or_empty("common_http_protocol_options")
    # It is about requests.
    common.ignore("headers_with_underscores_action")
    found.idle_timeout = common.duration("idle_timeout", 3600.0) or None
    found.max_connection_duration = common.duration("max_connection_duration") or None
    found.max_requests = common.integer("max_requests_per_connection", 0)
    found.max_stream_duration = common.duration("max_stream_duration", 0.0)
    found.http1 = UpstreamHttp1Settings(
        max_headers=common.integer("max_headers_count", 100),
        max_head_bytes=common.integer("max_response_headers_kb", 80) * 1024,
    )
    if options is None:
        return
    _parser(options)
    # They are about requests from clients.
    options.ignore(
        "accept_http_10",
        "allow_absolute_url",
        "allow_custom_methods",
        "default_host_for_http_10",
        "ignore_http_11_upgrade",
        "override_stream_error_on_invalid_http_message",
    )
    found.http1 = replace(
        found.http1,
        enable_trailers=options.boolean("enable_trailers"),
        allow_chunked_length=options.boolean("allow_chunked_length"),
        send_fully_qualified=options.boolean("send_fully_qualified_url"),
        key_format=_key_format(options),
    )


def _parser(options: Reader) -> None:
    """Which of its parsers Envoy uses; ours is always as strict as the stricter of them."""
    options.ignore("use_balsa_parser")


def _key_format(options: Reader) -> KeyFormat | None:
    reader = options.message("header_key_format")
    if reader is None:
        return None
    kind = reader.oneof("header_format")
    if kind == "proper_case_words":
        reader.message("proper_case_words")
        return KeyFormat(proper=True)
    if kind != "stateful_formatter":
        reader.problem("a format is expected", kind)
        return None
    extension = reader.message_or_empty("stateful_formatter")
    extension.ignore("name")
    config = extension.unpack("typed_config")
    if config is None or config.type_name != _PRESERVE_CASE:
        extension.problem("only preserve_case is implemented", "typed_config")
        return None
    return KeyFormat(
        keep=True,
        proper=config.enum("formatter_type_on_envoy_headers") == "PROPER_CASE",
        reason=config.boolean("forward_reason_phrase"),
    )


def carry_spellings(bootstrap: Bootstrap) -> Bootstrap:
    """Tell each side whether the other keeps the spelling of names, which it then has to write."""
    requests = any(_keeps(one.filter_chain.http_manager.http1.key_format) for one in bootstrap.listeners)
    responses = any(_keeps(one.http1.key_format) for one in bootstrap.clusters)
    if requests:
        clusters = tuple(_carrying_requests(one) for one in bootstrap.clusters)
        bootstrap = replace(bootstrap, clusters=clusters)
    if responses:
        listeners = tuple(_carrying_responses(one) for one in bootstrap.listeners)
        bootstrap = replace(bootstrap, listeners=listeners)
    return bootstrap


def _keeps(key_format: KeyFormat | None) -> bool:
    return key_format is not None and key_format.keep


def _carrying_requests(cluster: ClusterSettings) -> ClusterSettings:
    return replace(cluster, http1=replace(cluster.http1, carries_spelling=True))


def _carrying_responses(listener: ListenerSettings) -> ListenerSettings:
    chain = listener.filter_chain
    manager = chain.http_manager
    manager = replace(manager, http1=replace(manager.http1, carries_spelling=True))
    return replace(listener, filter_chain=replace(chain, http_manager=manager))
