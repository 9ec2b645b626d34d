"""Subsets of a cluster's hosts as configured (envoy.extensions.load_balancing_policies.subset.v3.Subset)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SubsetSelector:
    """Hosts that have all of `keys` are in the subset of those with the same values.

    keys      in order
    single    only the first of them is, whatever its health
    fallback  where requests with just these keys go whose values no host has: NOT_DEFINED (what the cluster says),
              NO_FALLBACK, ANY_ENDPOINT, DEFAULT_SUBSET, or KEYS_SUBSET: as if they had `fallback_keys` only
    """

    keys: tuple[str, ...]
    single: bool = False
    fallback: str = "NOT_DEFINED"
    fallback_keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SubsetSettings:
    """fallback          where requests go whose subset has no host: NO_FALLBACK, ANY_ENDPOINT, DEFAULT_SUBSET
    default              what hosts of the default subset have
    locality_weighted    the localities keep their weights within a subset,
    scale_localities     … in proportion to how many of their hosts are in it
    panic_mode_any       any host, where the fallback has none either
    list_as_any          a host with a list has each of its values
    fallback_list        the key `fallback_list` of a request has alternatives, the first that finds a host counts
    allow_redundant_keys  a request may have more keys than a selector; the first that it has all keys of counts
    """

    selectors: tuple[SubsetSelector, ...]
    fallback: str = "NO_FALLBACK"
    default: Mapping[str, Any] = field(default_factory=dict, hash=False)
    locality_weighted: bool = False
    scale_localities: bool = False
    panic_mode_any: bool = False
    list_as_any: bool = False
    fallback_list: bool = False
    allow_redundant_keys: bool = False
