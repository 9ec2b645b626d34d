"""Values that several builders read: addresses, localities, endpoints, regular expressions."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from google.protobuf import json_format

from twistproxy.config.fields import Reader
from twistproxy.model.address import Address, Cidr, PipeAddress, TcpAddress
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint, Locality
from twistproxy.model.health_check import CheckTarget
from twistproxy.model.route import RegexRewrite
from twistproxy.primitives.expression import BadExpression, linear


def address(reader: Reader, names_allowed: bool = False) -> Address:
    """envoy.config.core.v3.Address.  `names_allowed`: a host name will do, it is to be resolved."""
    kind = reader.oneof("address")
    if kind == "pipe":
        pipe = reader.message_or_empty("pipe")
        return PipeAddress(pipe.string("path"), pipe.integer("mode", 0))
    socket = reader.message("socket_address")
    if socket is None:
        if kind is not None:
            reader.refuse(kind, "only socket_address and pipe are implemented")
        return TcpAddress("", 0)
    return socket_address(socket, names_allowed)


def socket_address(socket: Reader, names_allowed: bool = False, protocol: str = "TCP") -> TcpAddress:
    """envoy.config.core.v3.SocketAddress."""
    if socket.enum("protocol") != protocol:
        socket.problem(f"only {protocol} is implemented", "protocol")
    host = socket.string("address")
    port = socket.integer("port_value", 0)
    if not names_allowed and not is_ip(host):
        socket.problem(
            f"malformed IP address: {host}. Consider setting resolver_name or setting cluster type to "
            "'STRICT_DNS' or 'LOGICAL_DNS'",
            "address",
        )
    if socket.oneof("port_specifier") == "named_port":
        socket.refuse("named_port", "named ports are not implemented")
    return TcpAddress(host, port)


def ipv4_compat(reader: Reader) -> bool:
    """Whether an IPv6 listener takes IPv4 as well."""
    socket = reader.message("socket_address")
    return socket is not None and socket.boolean("ipv4_compat")


def is_ip(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, the latter perhaps with a scope."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def cidr(reader: Reader) -> Cidr:
    """envoy.config.core.v3.CidrRange."""
    found = Cidr(reader.string("address_prefix"), reader.integer("prefix_len", 0))
    try:
        found.network()
    except ValueError:
        reader.problem(f"invalid ip/mask combo '{found.prefix}/{found.length}'")
        return Cidr("0.0.0.0", 0)
    return found


def endpoints(assignment: Reader, names_allowed: bool) -> list[Endpoint]:
    """All endpoints of an envoy.config.endpoint.v3.ClusterLoadAssignment, in order."""
    found = []
    assignment.ignore("cluster_name")
    for group in assignment.messages("endpoints"):
        locality = _locality(group)
        # Envoy keeps the weights of localities by their names, and what has no name has no weight.
        weight = group.integer("load_balancing_weight", 0) * group.has("locality")
        priority = group.integer("priority", 0)
        for one in group.messages("lb_endpoints"):
            endpoint = one.message("endpoint")
            if endpoint is None:
                one.problem("an endpoint is expected", "endpoint")
                continue
            where = endpoint.message("address")
            if where is None:
                endpoint.problem("an address is expected", "address")
                continue
            canary, hash_key, metadata = _metadata(one)
            additional = () if names_allowed else additional_addresses(endpoint)
            found.append(
                Endpoint(
                    address=address(where, names_allowed),
                    weight=one.integer("load_balancing_weight", 1),
                    hostname=endpoint.string("hostname"),
                    health=one.enum("health_status"),
                    priority=priority,
                    locality=locality,
                    locality_weight=weight,
                    canary=canary,
                    hash_key=hash_key,
                    metadata=metadata,
                    check=check_target(endpoint),
                    additional=additional,
                )
            )
    return found


def assignment_policy(assignment: Reader | None) -> AssignmentPolicy:
    """The policy of an envoy.config.endpoint.v3.ClusterLoadAssignment."""
    policy = None if assignment is None else assignment.message("policy")
    if policy is None:
        return AssignmentPolicy()
    return AssignmentPolicy(
        overprovisioning_factor=policy.integer("overprovisioning_factor", 140),
        weighted_priority_health=policy.boolean("weighted_priority_health"),
    )


def check_target(endpoint: Reader) -> CheckTarget | None:
    """`health_check_config` of an envoy.config.endpoint.v3.Endpoint; None if it says nothing."""
    config = endpoint.message("health_check_config")
    if config is None:
        return None
    where = config.message("address")
    found = CheckTarget(
        None if where is None else address(where),
        config.integer("port_value", 0),
        config.string("hostname"),
        config.boolean("disable_active_health_check"),
    )
    pipe = endpoint.message_or_empty("address") if where is None else where
    if found.port and pipe.oneof("address") == "pipe":
        config.problem("Invalid host configuration: non-zero port for non-IP address", "port_value")
    return None if found == CheckTarget() else found


def additional_addresses(endpoint: Reader) -> tuple[Address, ...]:
    """Of an envoy.config.endpoint.v3.Endpoint, beside its first address."""
    found = (address(one.message_or_empty("address")) for one in endpoint.messages("additional_addresses"))
    return tuple(found)


def _locality(group: Reader) -> Locality:
    locality = group.message("locality")
    if locality is None:
        return Locality()
    return Locality(locality.string("region"), locality.string("zone"), locality.string("sub_zone"))


def _metadata(endpoint: Reader) -> tuple[bool, str, str]:
    metadata = endpoint.message("metadata")
    if metadata is None:
        return False, "", ""
    metadata.ignore("filter_metadata")
    return endpoint_metadata(metadata.raw.filter_metadata)


def endpoint_metadata(metadata: Any) -> tuple[bool, str, str]:
    """`canary` and `hash_key` of the `envoy.lb` part of an endpoint's filter_metadata, and all of it as JSON."""
    if not metadata:
        return False, "", ""
    fields = metadata["envoy.lb"].fields if "envoy.lb" in metadata else {}
    canary = bool("canary" in fields and fields["canary"].bool_value)
    hash_key = str(fields["hash_key"].string_value) if "hash_key" in fields else ""
    return canary, hash_key, json.dumps(_plain(metadata), sort_keys=True)


def filter_metadata(reader: Reader) -> dict[str, Any] | None:
    """The field `metadata` of a message (envoy.config.core.v3.Metadata) by namespace; None if there is none."""
    metadata = reader.message("metadata")
    if metadata is None:
        return None
    metadata.ignore("filter_metadata")
    return _plain(metadata.raw.filter_metadata) or None


def match_criteria(reader: Reader) -> dict[str, Any] | None:
    """The namespace `envoy.lb` of the field `metadata_match`, which is the one that counts; None if it is not there."""
    metadata = reader.message("metadata_match")
    if metadata is None:
        return None
    metadata.ignore("filter_metadata")
    return _plain(metadata.raw.filter_metadata).get("envoy.lb")


def namespace_of(metadata: Any, name: str) -> dict[str, Any]:
    """One namespace of a filter_metadata as JSON has it; {} if it is not there."""
    return json_format.MessageToDict(metadata[name]) if name in metadata else {}


def _plain(metadata: Any) -> dict[str, Any]:
    return {name: json_format.MessageToDict(value) for name, value in metadata.items()}


def regex_rewrite(reader: Reader | None) -> RegexRewrite | None:
    """envoy.type.matcher.v3.RegexMatchAndSubstitute."""
    if reader is None:
        return None
    return RegexRewrite(regex(reader.message_or_empty("pattern")), reader.string("substitution"))


def regex(reader: Reader) -> str:
    """envoy.type.matcher.v3.RegexMatcher; the engine is RE2, whatever else is said."""
    reader.ignore("google_re2")
    pattern = reader.string("regex")
    try:
        linear(pattern)
    except BadExpression as error:
        reader.problem(f"not an RE2 regular expression: {error}", "regex")
        return ""
    return pattern
