"""What a connection manager does with the heads of requests and responses: its fields to `model.http_manager`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.filter_settings import build_mutation
from twistproxy.config.values import cidr
from twistproxy.model.address import Cidr
from twistproxy.model.bootstrap import Node
from twistproxy.model.http_filters import Mutation
from twistproxy.model.http_manager import (
    HeaderDetection,
    ProxyStatusSettings,
    SanitiseSettings,
    TracingSettings,
    XffDetection,
)

_ESCAPED_SLASHES = {
    "IMPLEMENTATION_SPECIFIC_DEFAULT": "",  # which is KEEP_UNCHANGED
    "KEEP_UNCHANGED": "",
    "REJECT_REQUEST": "reject",
    "UNESCAPE_AND_REDIRECT": "redirect",
    "UNESCAPE_AND_FORWARD": "forward",
}
_UNDERSCORES = {"ALLOW": "", "REJECT_REQUEST": "reject", "DROP_HEADER": "drop"}


def build_sanitise(reader: Reader) -> SanitiseSettings:
    """Paths and hosts made uniform.  `reader`: the connection manager."""
    matching, every = reader.boolean("strip_matching_host_port"), reader.boolean("strip_any_host_port")
    if matching and every:
        reader.problem(
            "Only one of `strip_matching_host_port` or `strip_any_host_port` can be set.",
            "strip_any_host_port",
        )
    return SanitiseSettings(
        normalise_path=reader.boolean("normalize_path"),
        merge_slashes=reader.boolean("merge_slashes"),
        escaped_slashes=_ESCAPED_SLASHES[reader.enum("path_with_escaped_slashes_action")],
        strip_port="any" if every else ("matching" if matching else ""),
        strip_trailing_dot=reader.boolean("strip_trailing_host_dot"),
    )


def underscores(common: Reader) -> str:
    """`Http1Settings.underscores`; `common`: common_http_protocol_options."""
    return _UNDERSCORES[common.enum("headers_with_underscores_action")]


#: What is internal if `internal_address_config` is there and names no ranges (RFC 1918, RFC 4193, loopback).
_PRIVATE = (
    Cidr("10.0.0.0", 8),
    Cidr("172.16.0.0", 12),
    Cidr("192.168.0.0", 16),
    Cidr("127.0.0.1", 32),
    Cidr("fc00::", 7),
    Cidr("::1", 128),
)


def internal_addresses(reader: Reader) -> tuple[tuple[Cidr, ...], bool]:
    """Which addresses are internal, and whether Unix sockets are; without `internal_address_config` nobody is."""
    internal = reader.message("internal_address_config")
    if internal is None:
        return (), False
    ranges = tuple(cidr(one) for one in internal.messages("cidr_ranges"))
    return ranges or _PRIVATE, internal.boolean("unix_sockets")


_DETECTION = "envoy.extensions.http.original_ip_detection."


def build_detections(reader: Reader) -> tuple[XffDetection | HeaderDetection, ...]:
    """`original_ip_detection_extensions`, or what `xff_num_trusted_hops` says."""
    extensions = reader.messages("original_ip_detection_extensions")
    hops = reader.integer("xff_num_trusted_hops", 0)
    if not extensions:
        return (XffDetection(hops),)
    if reader.boolean("use_remote_address"):
        reader.problem(
            "Original IP detection extensions and use_remote_address may not be mixed",
            "original_ip_detection_extensions",
        )
    if hops:
        reader.problem(
            "Original IP detection extensions and xff_num_trusted_hops may not be mixed",
            "original_ip_detection_extensions",
        )
    return tuple(found for one in extensions for found in _detection(one))


def _detection(one: Reader) -> list[XffDetection | HeaderDetection]:
    """The extension, in a list, which is empty if there is something wrong with it."""
    config = _extension(one)
    if config is None:
        return []
    if config.type_name == _DETECTION + "xff.v3.XffConfig":
        return [_xff(config)]
    if config.type_name == _DETECTION + "custom_header.v3.CustomHeaderConfig":
        return [_custom_header(config)]
    _unknown(one, config)
    return []


def _extension(one: Reader) -> Reader | None:
    """What a TypedExtensionConfig holds; None, and a problem, if that is nothing."""
    one.ignore("name")
    config = one.unpack("typed_config")
    if config is None and not one.has("typed_config"):
        one.problem("a typed_config is expected", "typed_config")
    return config


def _unknown(one: Reader, config: Reader) -> None:
    one.problem(f"the extension {config.called} is not implemented", "typed_config")
    config.ignore_all()


def _xff(config: Reader) -> XffDetection:
    hops = config.integer("xff_num_trusted_hops", 0)
    trusted = config.message("xff_trusted_cidrs")
    if trusted is not None and hops:
        config.problem("Cannot set both xff_num_trusted_hops and xff_trusted_cidrs", "xff_trusted_cidrs")
    ranges = () if trusted is None else tuple(cidr(one) for one in trusted.messages("cidrs"))
    return XffDetection(hops, ranges, not config.boolean("skip_xff_append", True))


def _custom_header(config: Reader) -> HeaderDetection:
    reject = config.message("reject_with_status")
    status = 0
    if reject is not None:
        reject.enum("code")
        status = reject.raw.code
        if status < 400:
            status = 403  # as Envoy takes what is no error
    return HeaderDetection(
        config.string("header_name").lower().encode(),
        config.boolean("allow_extension_to_set_address_as_trusted"),
        status,
    )


_EARLY = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"


def build_early_mutations(reader: Reader) -> tuple[Mutation, ...]:
    """`early_header_mutation_extensions`, one after the other."""
    found: list[Mutation] = []
    for one in reader.messages("early_header_mutation_extensions"):
        config = _extension(one)
        if config is not None and config.type_name == _EARLY:
            found += [build_mutation(each) for each in config.messages("mutations")]
        elif config is not None:
            _unknown(one, config)
    return tuple(found)


def build_scheme(reader: Reader) -> bytes:
    """`scheme_to_overwrite`, b"" for none."""
    transformation = reader.message("scheme_header_transformation")
    return b"" if transformation is None else transformation.string("scheme_to_overwrite").encode()


def keeps_client_cert(reader: Reader) -> bool:
    """Whether x-forwarded-client-cert stays.  No client has a certificate here, so all kinds but one remove it."""
    reader.ignore("set_current_client_cert_details")
    return reader.enum("forward_client_cert_details") == "ALWAYS_FORWARD_ONLY"


_UUID = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"


def build_tracing(reader: Reader) -> tuple[TracingSettings | None, bool]:
    """`tracing` as far as it goes without a provider, and whether request ids carry the reason."""
    pack = by_request_id = True
    extension = reader.message("request_id_extension")
    config = None if extension is None else extension.unpack("typed_config")
    if extension is not None and config is not None:
        if config.type_name == _UUID:
            pack = config.boolean("pack_trace_reason", True)
            by_request_id = config.boolean("use_request_id_for_trace_sampling", True)
        else:
            _unknown(extension, config)
    tracing = reader.message("tracing")
    if tracing is None:
        return None, pack
    settings = TracingSettings(
        client=int(tracing.number("client_sampling", 100.0)),
        sampled=int(tracing.number("random_sampling", 100.0) * 100),
        overall=int(tracing.number("overall_sampling", 100.0)),
        by_request_id=by_request_id,
    )
    return settings, pack


def build_proxy_status(reader: Reader, server_name: bytes, node: Node) -> ProxyStatusSettings | None:
    """`server_name`: what we are called if nothing else is said."""
    config = reader.message("proxy_status_config")
    if config is None:
        return None
    name = server_name
    if config.oneof("proxy_name") == "literal_proxy_name":
        name = config.string("literal_proxy_name").encode()
    elif config.boolean("use_node_id"):
        name = node.id.encode()
    config.ignore("remove_connection_termination_details")  # ours never say more than the details
    return ProxyStatusSettings(
        name,
        details=not config.boolean("remove_details"),
        flags=not config.boolean("remove_response_flags"),
        recommended_status=config.boolean("set_recommended_response_code"),
    )
