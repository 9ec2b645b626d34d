"""`lb_subset_config` of envoy.config.cluster.v3.Cluster, and the same as a load balancing policy."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.model.subsets import SubsetSelector, SubsetSettings


def build_subsets(reader: Reader | None) -> SubsetSettings | None:
    """LbSubsetConfig, or envoy.extensions.load_balancing_policies.subset.v3.Subset.  None if nothing selects hosts: then
    there are no subsets, whatever else is said."""
    if reader is None:
        return None
    extension = "subset_lb_policy" in {field.name for field in reader.raw.DESCRIPTOR.fields}
    selectors = [_selector(one) for one in reader.messages("subset_selectors")]
    redundant = extension and reader.boolean("allow_redundant_keys")
    if redundant:  # the one that says most is to be found first
        selectors.sort(key=lambda one: -len(one.keys))
    settings = SubsetSettings(
        selectors=tuple(selectors),
        fallback=reader.enum("fallback_policy"),
        default=reader.struct("default_subset"),
        locality_weighted=reader.boolean("locality_weight_aware"),
        scale_localities=reader.boolean("scale_locality_weight"),
        panic_mode_any=reader.boolean("panic_mode_any"),
        list_as_any=reader.boolean("list_as_any"),
        fallback_list=reader.enum("metadata_fallback_policy") == "FALLBACK_LIST",
        allow_redundant_keys=redundant,
    )
    return settings if settings.selectors else None


def _selector(reader: Reader) -> SubsetSelector:
    keys = frozenset(reader.strings("keys"))
    fallback = reader.enum("fallback_policy")
    fewer = frozenset(reader.strings("fallback_keys_subset"))
    if fallback == "KEYS_SUBSET":
        if not fewer:
            reader.problem("fallback_keys_subset cannot be empty", "fallback_keys_subset")
        elif not fewer <= keys:
            reader.problem("fallback_keys_subset must be a subset of selector keys", "fallback_keys_subset")
        elif fewer == keys:
            reader.problem("fallback_keys_subset cannot be equal to keys", "fallback_keys_subset")
    elif fewer:
        reader.problem(
            "fallback_keys_subset can be set only for KEYS_SUBSET fallback_policy", "fallback_keys_subset"
        )
    return SubsetSelector(tuple(sorted(keys)), reader.boolean("single_host_per_subset"), fallback, fewer)
