"""Internal redirects as configured (envoy.config.route.v3.InternalRedirectPolicy)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AllowListedRoutes:
    """A redirect may only lead to routes of these names."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class PreviousRoutes:
    """A redirect may not lead where an earlier one from the same route has led."""


@dataclass(frozen=True, slots=True)
class SafeCrossScheme:
    """A redirect may not lead from http to https."""


@dataclass(frozen=True, slots=True)
class GateInState:
    """What filters have left under a key says whether to follow a redirect, or if it is not there `absent`."""

    key: str
    absent: bool = False


RedirectPredicate = AllowListedRoutes | PreviousRoutes | SafeCrossScheme | GateInState


@dataclass(frozen=True, slots=True)
class InternalRedirectSettings:
    """Which redirects are followed in place of the client.

    most              of them for one request
    statuses          of responses that are followed
    cross_scheme      also where the scheme is another
    headers_to_copy   names, in lower case, of response headers that the next request gets
    predicates        all must agree
    """

    most: int = 1
    statuses: frozenset[int] = frozenset((302,))
    cross_scheme: bool = False
    headers_to_copy: tuple[str, ...] = ()
    predicates: tuple[RedirectPredicate, ...] = ()
