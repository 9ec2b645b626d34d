"""`listener_filters` of a listener: what looks at a connection before its filter chain does."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.model.listener import ProxyHeaderSettings

_ORIGINAL_DST = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"
_PROXY_PROTOCOL = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"


def build_listener_filters(listener: Reader) -> tuple[bool, ProxyHeaderSettings | None]:
    """Whether original_dst is there, and proxy_protocol."""
    original, proxy = False, None
    timeout = listener.duration("listener_filters_timeout", 15.0)
    goes_on = listener.boolean("continue_on_listener_filters_timeout")
    for one in listener.messages("listener_filters"):
        one.ignore("name")
        config = one.unpack("typed_config")
        if config is None:
            continue
        if config.type_name == _ORIGINAL_DST:
            original = True
        elif config.type_name == _PROXY_PROTOCOL:
            if proxy is not None:
                one.problem("a connection has one PROXY header", "typed_config")
            proxy = _proxy_protocol(config, timeout, goes_on)
        else:
            one.problem(f"the listener filter {config.called} is not implemented", "typed_config")
            config.ignore_all()
    chains = listener.messages("filter_chains")
    if [one.boolean("use_proxy_proto") for one in chains][:1] == [True] and proxy is None:
        # The old field; the first chain's counts.
        proxy = ProxyHeaderSettings(timeout=timeout, goes_on=goes_on)
    return original, proxy


def _proxy_protocol(config: Reader, timeout: float, goes_on: bool) -> ProxyHeaderSettings:
    for field in ("rules", "pass_through_tlvs"):
        if config.has(field):
            config.refuse(field, "is not implemented: what a header says beside the addresses is not kept")
    config.ignore("tlv_location")
    prefix = config.string("stat_prefix")
    return ProxyHeaderSettings(
        optional=config.boolean("allow_requests_without_proxy_protocol"),
        refused=frozenset(1 if version == "V1" else 2 for version in config.enums("disallowed_versions")),
        stat_prefix=f"{prefix}." if prefix else "",
        timeout=timeout,
        goes_on=goes_on,
    )
