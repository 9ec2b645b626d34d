"""From a ClusterLoadAssignment message to endpoints (envoy.config.endpoint.v3.ClusterLoadAssignment)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from google.protobuf.message import Message

from twistproxy.config.fields import Reader, Report
from twistproxy.config.values import additional_addresses, assignment_policy, check_target, endpoint_metadata
from twistproxy.discovery.resolv_conf import is_ip
from twistproxy.errors import ConfigProblem
from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.model.endpoint import NO_LOCALITY, AssignmentPolicy, Endpoint, Locality

MAX_PRIORITY = 128
MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Group:
    """What the endpoints of one LocalityLbEndpoints have in common."""

    priority: int
    locality: Locality
    locality_weight: int


#: The endpoints of a LocalityLbEndpoints.
ReadEndpoints = Callable[[Reader, Group], Iterable[Endpoint]]


@dataclass(frozen=True, slots=True)
class LoadAssignment:
    """What an assignment says.

    policy       of all endpoints
    stale_after  seconds after which they are not to be believed any more, 0 for never
    problems     what is wrong with it
    unread       what is not implemented of what it sets
    """

    endpoints: tuple[Endpoint, ...]
    policy: AssignmentPolicy
    stale_after: float
    problems: list[ConfigProblem]
    unread: list[ConfigProblem]


def read_load_assignment(
    message: Message, cluster_name: str, read_endpoints: ReadEndpoints | None = None
) -> LoadAssignment:
    """An assignment that must be that of `cluster_name`.

    read_endpoints  is asked for those of each group, in their order, if not `lb_endpoints` is to be read
    """
    report = Report()
    root = Reader(message, report)
    name = root.string("cluster_name")
    if name != cluster_name:
        # Envoy's words (eds.cc).
        root.problem(f"Unexpected EDS cluster (expecting {cluster_name}): {name}", "cluster_name")
    endpoints: list[Endpoint] = []
    for group in root.messages("endpoints"):
        endpoints += (read_endpoints or _endpoints)(group, _group(group))
    policy = assignment_policy(root)
    if not policy.overprovisioning_factor:
        root.problem("must be at least 1, is 0", "policy.overprovisioning_factor")
    of_policy = root.message("policy")
    stale_after = 0.0 if of_policy is None else of_policy.duration("endpoint_stale_after", 0.0)
    return LoadAssignment(tuple(endpoints), policy, stale_after, report.problems, report.unread(root))


def _group(reader: Reader) -> Group:
    locality = reader.message("locality")
    place = NO_LOCALITY
    if locality is not None:
        place = Locality(locality.string("region"), locality.string("zone"), locality.string("sub_zone"))
    priority = reader.integer("priority", 0)
    if priority > MAX_PRIORITY:
        reader.problem(f"must be at most {MAX_PRIORITY}, is {priority}", "priority")
    weight = _weight(reader) or 0
    # Envoy keeps the weights of localities by their names.
    return Group(priority, place, 0 if locality is None else weight)


def _endpoints(reader: Reader, group: Group) -> list[Endpoint]:
    found = (read_endpoint(one, group) for one in reader.messages("lb_endpoints"))
    return [endpoint for endpoint in found if endpoint is not None]


def read_endpoint(one: Reader, group: Group) -> Endpoint | None:
    """An LbEndpoint; None if it cannot be one."""
    endpoint = one.message("endpoint")
    if endpoint is None:
        one.problem("an endpoint is required", "endpoint")
        return None
    address = _address(endpoint)
    weight = _weight(one)
    health = one.enum("health_status")
    one.message_or_empty("metadata").ignore("filter_metadata")
    canary, hash_key, metadata = endpoint_metadata(one.raw.metadata.filter_metadata)
    if address is None:
        return None
    return Endpoint(
        address,
        weight=weight or 1,
        hostname=endpoint.string("hostname"),
        health=health,
        priority=group.priority,
        locality=group.locality,
        locality_weight=group.locality_weight,
        canary=canary,
        hash_key=hash_key,
        metadata=metadata,
        check=check_target(endpoint),
        additional=additional_addresses(endpoint),
    )


def _weight(reader: Reader) -> int | None:
    weight = reader.integer("load_balancing_weight")
    if weight is not None and weight < 1:
        reader.problem("must be at least 1", "load_balancing_weight")
    return weight


def _address(endpoint: Reader) -> Address | None:
    address = endpoint.message_or_empty("address")
    pipe = address.message("pipe")
    if pipe is not None:
        path = pipe.string("path")
        if not path:
            pipe.problem("must not be empty", "path")
        return PipeAddress(path)
    tcp = address.message("socket_address")
    if tcp is None:
        endpoint.problem("an address of kind socket_address or pipe is required", "address")
        return None
    host = tcp.string("address")
    port = tcp.integer("port_value", 0)
    if tcp.enum("protocol") != "TCP":
        tcp.problem("only TCP is supported", "protocol")
    if not is_ip(host):
        tcp.problem(
            f"malformed IP address: {host}. Consider setting the cluster's type to STRICT_DNS or LOGICAL_DNS",
            "address",
        )
        return None
    if port > MAX_PORT:
        tcp.problem(f"must be at most {MAX_PORT}, is {port}", "port_value")
    return TcpAddress(host, port)
