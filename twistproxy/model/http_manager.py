"""Settings of the HTTP connection manager (envoy.extensions.filters.network.http_connection_manager.v3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from twistproxy.model.access_log import (
    AT_THE_END,
    UPSTREAM_AT_THE_END,
    AccessLogOptions,
    AccessLogSettings,
    UpstreamLogOptions,
)
from twistproxy.model.address import Cidr
from twistproxy.model.http1 import Http1Settings
from twistproxy.model.http_filters import HttpFilterSettings, Mutation, StateRule
from twistproxy.model.local_reply import PLAIN_REPLIES, LocalReplySettings
from twistproxy.model.route import RouteConfiguration
from twistproxy.model.upgrade import UpgradeSettings


@dataclass(frozen=True, slots=True)
class SanitiseSettings:
    """What of a request is made uniform, or refused, before anything else looks at it.

    escaped_slashes  of %2F and %5C in paths: "", "reject", "redirect" or "forward" (unescaped)
    strip_port       of the host: "", "any", or "matching" the port that the connection came to
    """

    normalise_path: bool = False
    merge_slashes: bool = False
    escaped_slashes: str = ""
    strip_port: str = ""
    strip_trailing_dot: bool = False


@dataclass(frozen=True, slots=True)
class XffDetection:
    """Who the client is by x-forwarded-for (envoy.http.original_ip_detection.xff).

    hops     so many addresses before the last one
    trusted  proxies; if any are given the client is the last address that is none of them
    append   add the direct downstream to x-forwarded-for
    """

    hops: int = 0
    trusted: tuple[Cidr, ...] = ()
    append: bool = False


@dataclass(frozen=True, slots=True)
class HeaderDetection:
    """Who the client is by a header of one's own (envoy.http.original_ip_detection.custom_header).

    may_be_internal  whether an address from it may be one of `internal_cidrs`
    reject           the status of the answer to a request without such an address; 0: it is taken
    """

    name: bytes
    may_be_internal: bool = False
    reject: int = 0


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """How many requests are marked for tracing in their x-request-id.

    client, overall  percent;  sampled  of 10 000
    by_request_id    False: the request id neither decides nor is changed
    """

    client: int = 100
    sampled: int = 10_000
    overall: int = 100
    by_request_id: bool = True


@dataclass(frozen=True, slots=True)
class ProxyStatusSettings:
    """The Proxy-Status header (RFC 9209): who we are in it, and what of an error's details it tells."""

    name: bytes
    details: bool = True
    flags: bool = True
    recommended_status: bool = False


@dataclass(frozen=True, slots=True)
class HttpManagerSettings:
    """One HTTP connection manager.  Times in seconds; 0 or None: no limit.

    envoy_headers, strict_check_headers, respect_expected_rq_timeout  of the router filter
    internal_cidrs, internal_unix_sockets  who counts as internal
    detections  how to find out who the client is if `use_remote_address` is off, in order
    scheme      what the scheme of every request is taken for; b"" for what it is
    keep_client_cert  x-forwarded-client-cert of a connection without a certificate stays
    pack_trace_reason  a request id tells whether, and why, its request is traced
    early_mutations  what is done to the headers of a request before anything else
    user_agent, node_id  what `add_user_agent` tells upstreams of us; both b"" if it is not set
    stays_open_after_error  a request that is refused whole does not end its connection
    append_local_overload  the answer that is given for overload says so
    upstream_logs, upstream_log_options  of the router: a line for each attempt at an upstream
    filters              before the router
    connection_state     what all requests of a connection begin with, from filters before the connection manager
    filter_chain_name    the name of the filter chain that it ends
    listener_metadata    namespace → structure, for logs
    connection_logs      of the listener: a line for each connection
    """

    stat_prefix: str
    routes: RouteConfiguration
    access_logs: tuple[AccessLogSettings, ...] = ()
    http1: Http1Settings = field(default_factory=Http1Settings)
    server_name: bytes = b"twistproxy"
    server_header: str = "OVERWRITE"
    use_remote_address: bool = False
    xff_num_trusted_hops: int = 0
    skip_xff_append: bool = False
    internal_cidrs: tuple[Cidr, ...] = ()
    internal_unix_sockets: bool = False
    detections: tuple[XffDetection | HeaderDetection, ...] = (XffDetection(),)
    append_forwarded_port: bool = False
    scheme: bytes = b""
    keep_client_cert: bool = False
    generate_request_id: bool = True
    preserve_external_request_id: bool = False
    always_set_request_id_in_response: bool = False
    pack_trace_reason: bool = True
    tracing: TracingSettings | None = None
    proxy_status: ProxyStatusSettings | None = None
    idle_timeout: float | None = 3600.0
    max_connection_duration: float | None = None
    http1_safe_max_connection_duration: bool = False
    max_requests_per_connection: int = 0
    stream_idle_timeout: float = 300.0
    max_stream_duration: float = 0.0
    request_timeout: float = 0.0
    request_headers_timeout: float = 0.0
    drain_timeout: float = 5.0
    delayed_close_timeout: float = 1.0
    envoy_headers: bool = True
    strict_check_headers: tuple[bytes, ...] = ()
    respect_expected_rq_timeout: bool = False
    proxy_100_continue: bool = False
    user_agent: bytes = b""
    node_id: bytes = b""
    sanitise: SanitiseSettings = SanitiseSettings()
    via: bytes = b""
    early_mutations: tuple[Mutation, ...] = ()
    filter_chain_name: str = ""
    listener_metadata: Mapping[str, Any] | None = field(default=None, hash=False)
    connection_logs: tuple[AccessLogSettings, ...] = ()
    upstream_logs: tuple[AccessLogSettings, ...] = ()
    upstream_log_options: UpstreamLogOptions = UPSTREAM_AT_THE_END
    log_options: AccessLogOptions = AT_THE_END
    local_replies: LocalReplySettings = PLAIN_REPLIES
    upgrades: tuple[UpgradeSettings, ...] = ()
    stays_open_after_error: bool = False
    append_local_overload: bool = False
    filters: tuple[HttpFilterSettings, ...] = ()
    connection_state: tuple[StateRule, ...] = ()

    def without_routes(self) -> HttpManagerSettings:
        """The same manager with no routes: what has to be equal for connections to outlive a change of routes."""
        return replace(self, routes=_NO_ROUTES)


_NO_ROUTES = RouteConfiguration("", ())
