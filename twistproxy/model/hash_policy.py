"""What of a request a hash balancer looks at (envoy.config.route.v3.RouteAction.HashPolicy), compiled by
`route.hash_policy`.  `terminal`: with a hash from this one, those after it are not asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeaderHash:
    """The values of a header; with a pattern each is rewritten first."""

    name: str
    pattern: str | None = None
    substitution: str = ""
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class CookieHash:
    """A cookie.  ttl: seconds for which one is given to a client that has none, 0 for its session, None: none is.

    attributes  further names and values of Set-Cookie
    """

    name: str
    ttl: int | None = None
    path: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class SourceAddressHash:
    """The client's address."""

    terminal: bool = False


@dataclass(frozen=True, slots=True)
class QueryParameterHash:
    name: str
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class FilterStateHash:
    """What filters have left under a key, if that can be hashed."""

    key: str
    terminal: bool = False


HashPolicy = HeaderHash | CookieHash | SourceAddressHash | QueryParameterHash | FilterStateHash
