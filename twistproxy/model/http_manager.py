"""Settings of the HTTP connection manager (envoy.extensions.filters.network.http_connection_manager.v3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from twistproxy.model.access_log import AT_THE_END, AccessLogOptions, AccessLogSettings
from twistproxy.model.address import Cidr
from twistproxy.model.http1 import Http1Settings
from twistproxy.model.http_filters import HttpFilterSettings
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
class HttpManagerSettings:
    """One HTTP connection manager.  Times in seconds; 0 or None: no limit.

    envoy_headers, strict_check_headers, respect_expected_rq_timeout  of the router filter
    user_agent, node_id  what `add_user_agent` tells upstreams of us; both b"" if it is not set
    stays_open_after_error  a request that is refused whole does not end its connection
    filters              before the router
    filter_chain_name    the name of the filter chain that it ends
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
    generate_request_id: bool = True
    preserve_external_request_id: bool = False
    always_set_request_id_in_response: bool = False
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
    filter_chain_name: str = ""
    log_options: AccessLogOptions = AT_THE_END
    local_replies: LocalReplySettings = PLAIN_REPLIES
    upgrades: tuple[UpgradeSettings, ...] = ()
    stays_open_after_error: bool = False
    filters: tuple[HttpFilterSettings, ...] = ()

    def without_routes(self) -> HttpManagerSettings:
        """The same manager with no routes: what has to be equal for connections to outlive a change of routes."""
        return replace(self, routes=_NO_ROUTES)


_NO_ROUTES = RouteConfiguration("", ())
