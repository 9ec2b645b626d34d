"""What the discovery process has to discover: one source for each cluster whose endpoints are not fixed.

Equal sources are the same source: a reload keeps those that are equal running.  All times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twistproxy.model.endpoint import Endpoint, Locality
from twistproxy.model.health_check import CheckTarget

#: envoy.config.cluster.v3.Cluster.DnsLookupFamily.
LookupFamily = Literal["AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL"]

NO_LOCALITY = Locality()


@dataclass(frozen=True, slots=True)
class CaresResolver:
    """DNS servers and how they are asked (CaresDnsResolverConfig, with Envoy's defaults).

    servers           (IP address, port); empty: those of /etc/resolv.conf
    fallback          the servers count only where /etc/resolv.conf names none
    tcp_only          ask over TCP from the start
    search_domains    whether the search list of /etc/resolv.conf applies
    timeout, tries    seconds that a server has at first, and how often each is asked
    rotate            begin with another server for each question
    payload           how long answers over UDP may be (EDNS)
    socket_queries    most questions that one UDP socket asks, 0 for the default
    filter_families   leave out addresses of a family that no interface has
    """

    servers: tuple[tuple[str, int], ...] = ()
    fallback: bool = False
    tcp_only: bool = False
    search_domains: bool = True
    timeout: float = 5.0
    tries: int = 4
    rotate: bool = False
    payload: int = 1232
    socket_queries: int = 0
    filter_families: bool = False


@dataclass(frozen=True, slots=True)
class SystemResolver:
    """getaddrinfo(3) in threads (GetAddrInfoDnsResolverConfig).

    retries  how often a temporary failure is tried again; None: until it succeeds
    """

    retries: int | None = None
    threads: int = 1


Resolver = CaresResolver | SystemResolver


@dataclass(frozen=True, slots=True)
class DnsTarget:
    """One name to resolve, and what its addresses become as endpoints (an LbEndpoint with its locality).

    hostname  what the endpoints are called; "" stands for `host`
    service   `host` names a service: hosts, ports, weights and priorities are those of its SRV records
    """

    host: str
    port: int
    weight: int = 1
    priority: int = 0
    locality: Locality = NO_LOCALITY
    locality_weight: int = 0
    hostname: str = ""
    health: str = "UNKNOWN"
    canary: bool = False
    hash_key: str = ""
    metadata: str = ""
    service: bool = False
    check: CheckTarget | None = None


@dataclass(frozen=True, slots=True)
class DnsSource:
    """A STRICT_DNS or LOGICAL_DNS cluster (envoy.extensions.clusters.dns.v3.DnsCluster).

    logical               all addresses of an answer are one endpoint, and an empty answer is a failure
    targets               exactly one if `logical`
    failure_refresh_rate  (base, most) of the jittered exponential back-off; None: `refresh_rate`
    jitter                up to this much is added to each delay after a success, at random
    resolver              who is asked
    wait                  the cluster is not ready before the first answer
    """

    cluster: str
    logical: bool
    targets: tuple[DnsTarget, ...]
    refresh_rate: float = 5.0
    failure_refresh_rate: tuple[float, float] | None = None
    respect_dns_ttl: bool = False
    family: LookupFamily = "AUTO"
    resolver: Resolver = CaresResolver()
    jitter: float = 0.0
    wait: bool = True


@dataclass(frozen=True, slots=True)
class EdsFileSource:
    """An EDS cluster whose ClusterLoadAssignment lies in a file (envoy.config.core.v3.PathConfigSource).

    service_name       the `cluster_name` that the file must have; "" stands for the cluster's name
    watched_directory  besides the file's own directory, moves into this one are noticed
    unsupported        what a set field does that nothing implements: refuse the file, or be logged
    """

    cluster: str
    service_name: str
    path: str
    watched_directory: str | None = None
    unsupported: Literal["error", "warn"] = "error"


@dataclass(frozen=True, slots=True)
class V1SdsSource:
    """A cluster of v1 type `sds`: polled over HTTP with `GET /v1/registration/<service_name>`.

    refresh_delay  the next poll is due after refresh_delay + random(0 ... refresh_delay)
    hosts          the hosts of the discovery service's cluster: fixed, or to be resolved
    authority      the Host header: the name of the discovery service's cluster
    timeout        limit of one poll
    """

    cluster: str
    service_name: str
    refresh_delay: float
    hosts: tuple[Endpoint, ...] | DnsSource
    authority: str
    timeout: float = 1.0


@dataclass(frozen=True, slots=True)
class StaticSource:
    """A STATIC cluster of which the discovery process watches the health."""

    cluster: str
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class OriginalDstSource:
    """An ORIGINAL_DST cluster, whose hosts the workers meet.  `cleanup_interval`: a host that none of them has in use
    goes after about so many seconds."""

    cluster: str
    cleanup_interval: float = 5.0


DiscoverySource = DnsSource | EdsFileSource | OriginalDstSource | StaticSource | V1SdsSource
