"""Routes as configured (envoy.config.route.v3), compiled by `route.table`."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.model.retry import RequestPlan
from twistproxy.model.upgrade import UpgradeSettings


@dataclass(frozen=True, slots=True)
class RegexRewrite:
    """RE2 pattern and a substitution with \\1 … as Envoy's `RegexMatchAndSubstitute`."""

    pattern: str
    substitution: str


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Exactly one of `prefix`, `path`, `regex`, `path_separated_prefix` is not None."""

    prefix: str | None = None
    path: str | None = None
    regex: str | None = None
    path_separated_prefix: str | None = None
    case_sensitive: bool = True


@dataclass(frozen=True, slots=True)
class ClusterAction:
    """Forward to a cluster.  `timeout` in seconds over the whole response, 0 for none; `plan` what there is beyond."""

    cluster: str
    timeout: float = 15.0
    prefix_rewrite: str | None = None
    regex_rewrite: RegexRewrite | None = None
    host_rewrite: str | None = None
    cluster_not_found_status: int = 503
    high_priority: bool = False
    upgrades: tuple[UpgradeSettings, ...] = ()
    plan: RequestPlan | None = None


@dataclass(frozen=True, slots=True)
class RedirectAction:
    """Answer with a redirect (envoy.config.route.v3.RedirectAction)."""

    status: int = 301
    host: str | None = None
    path: str | None = None
    prefix_rewrite: str | None = None
    regex_rewrite: RegexRewrite | None = None
    scheme: str | None = None
    https: bool = False
    port: int = 0
    strip_query: bool = False


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answer with this."""

    status: int
    body: bytes = b""


RouteAction = ClusterAction | RedirectAction | DirectResponse


@dataclass(frozen=True, slots=True)
class RouteSettings:
    match: RouteMatch
    action: RouteAction
    name: str = ""


@dataclass(frozen=True, slots=True)
class VirtualHostSettings:
    """`domains` in lower case: exact, `*.suffix`, `prefix.*` or `*`."""

    name: str
    domains: tuple[str, ...]
    routes: tuple[RouteSettings, ...]


@dataclass(frozen=True, slots=True)
class RouteConfiguration:
    name: str
    virtual_hosts: tuple[VirtualHostSettings, ...]
    ignore_port_in_host_matching: bool = False
