"""Which DNS clusters and resolvers are taken: the verdict of both engines on one configuration each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

from .settings import CARES, Config, bootstrap, read
from .test_config_validity import envoy_takes

pytestmark = pytest.mark.parity

_TYPES = "type.googleapis.com/envoy.extensions."
_RESOLVER = "{name: r, typed_config: {'@type': %s, %s}}"
_PIPE = "{endpoint: {address: {pipe: {path: /x}}}}"
_NAMED = "{endpoint: {address: {socket_address: {address: a.test, port_value: 1, resolver_name: r}}}}"


def strict(fields: str = "", hosts: str = "", kind: str = "type: STRICT_DNS") -> str:
    hosts = hosts or "{endpoint: {address: {socket_address: {address: a.test, port_value: 80}}}}"
    assignment = f"load_assignment: {{cluster_name: a, endpoints: [{{lb_endpoints: [{hosts}]}}]}}"
    return f"{{name: a, connect_timeout: 1s, {kind}, {assignment}, {fields}}}"


def cares(fields: str) -> str:
    return strict("typed_dns_resolver_config: " + _RESOLVER % (CARES, fields))


def host(name: str, port: int = 80) -> str:
    return f"{{endpoint: {{address: {{socket_address: {{address: '{name}', port_value: {port}}}}}}}}}"


def extension(fields: str = "", hosts: str = "", name: str = "envoy.cluster.dns") -> str:
    config = f"typed_config: {{'@type': {_TYPES}clusters.dns.v3.DnsCluster, {fields}}}"
    return strict("", hosts, f"cluster_type: {{name: {name}, {config}}}")


LOGICAL = "type: LOGICAL_DNS"
TWO = host("a.test") + ", " + host("b.test")
SINGLE = "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint"
#: a cluster: "" if it is taken, else words that both say, or "refused" where ours differ
CASES = {
    strict(): "",
    strict("dns_jitter: 0s, dns_lookup_family: ALL, respect_dns_ttl: true, wait_for_warm_on_init: false"): "",
    strict("dns_refresh_rate: 0.001s"): "refused",
    strict("dns_refresh_rate: 0.002s"): "",
    strict("dns_failure_refresh_rate: {base_interval: 5s, max_interval: 1s}"): (
        "dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval"
    ),
    strict("dns_failure_refresh_rate: {}"): "refused",
    strict("dns_failure_refresh_rate: {base_interval: 0.001s}"): "refused",
    strict("dns_failure_refresh_rate: {base_interval: 1s}"): "",
    strict(hosts=TWO): "",
    strict(hosts=host("a.test", 0)): "",
    strict(hosts=host("_http._tcp.a.test", 0)): "",
    strict(hosts=host("")): "refused",
    strict(hosts=host("a..b")): "",
    strict(hosts=host("::1")): "",
    strict(hosts=_NAMED): "refused",
    strict(hosts=_NAMED, kind=LOGICAL): "refused",
    strict(kind=LOGICAL): "",
    strict(hosts=TWO, kind=LOGICAL): SINGLE,
    "{name: a, type: LOGICAL_DNS}": "LOGICAL_DNS clusters must have a single host",
    "{name: a, type: STRICT_DNS}": "",
    cares("resolvers: []"): "",
    cares(
        "resolvers: [{socket_address: {address: ns.test, port_value: 53}}]"
    ): "malformed IP address: ns.test",
    cares("resolvers: [{socket_address: {address: '::1', port_value: 53}}]"): "",
    cares("resolvers: [{socket_address: {address: 127.0.0.1, port_value: 0}}]"): "",
    cares("resolvers: [{pipe: {path: /x}}]"): "DNS resolver '/x' is not an IP address",
    cares("use_resolvers_as_fallback: true, filter_unroutable_families: true, udp_max_queries: 5"): "",
    cares("query_timeout_seconds: 1, query_tries: 1, rotate_nameservers: true"): "",
    cares("edns0_max_payload_size: 4096, max_udp_channel_duration: 5s, reinit_channel_on_timeout: true"): "",
    strict("typed_dns_resolver_config: {name: envoy.network.dns_resolver.cares}"): "refused",
    strict(
        "typed_dns_resolver_config: "
        + _RESOLVER
        % (_TYPES + "network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig", "num_retries: 1")
    ): "",
    strict(
        "typed_dns_resolver_config: "
        + _RESOLVER % (_TYPES + "network.dns_resolver.apple.v3.AppleDnsResolverConfig", "")
    ): "refused",
    strict("dns_resolvers: [{socket_address: {address: 127.0.0.1, port_value: 53}}]"): "",
    strict(
        "dns_resolvers: [{socket_address: {address: ns.test, port_value: 53}}]"
    ): "malformed IP address: ns.test",
    strict("dns_resolution_config: {resolvers: []}"): "refused",
    strict(
        "dns_resolution_config: {resolvers: [{socket_address: {address: 127.0.0.1, port_value: 53}}]}"
    ): "",
    extension(): "",
    extension(name="any.name"): "",
    extension("dns_refresh_rate: 0.001s"): "refused",
    extension("dns_lookup_family: V4_PREFERRED, dns_jitter: 1s, respect_dns_ttl: true"): "",
    extension("all_addresses_in_single_endpoint: true"): "",
    extension("all_addresses_in_single_endpoint: true", TWO): SINGLE,
    strict(kind="cluster_type: {name: envoy.cluster.dns}"): "",
    strict(kind="cluster_type: {name: envoy.cluster.strict_dns}"): "",
    strict(kind="cluster_type: {name: envoy.cluster.logical_dns}"): "",
    strict(kind="cluster_type: {name: envoy.cluster.logical_dns}", hosts=TWO): SINGLE,
}
#: Envoy takes these and does nothing with them, or nothing good.
STRICTER = [
    strict("use_tcp_for_dns_lookups: true"),
    strict(hosts=_PIPE),
    strict(hosts=host("_http._tcp.a.test", 80)),
    cares("query_timeout_seconds: 0"),
    cares("query_tries: 0"),
    cares("edns0_max_payload_size: 100"),
    extension()[:-1] + "dns_refresh_rate: 1s}",
]


def ours(path: Path) -> str:
    """What twistproxy has against a configuration."""
    try:
        build_bootstrap(load_text(path.read_text(), path.name), ServerOptions())
    except ConfigError as error:
        return str(error)
    return ""


def written(text: str, directory: Path) -> Path:
    made: Config = read(re.sub(r"'@type': (\S+?),", r"'@type': '\1',", text))
    path = directory / "c.json"
    path.write_text(json.dumps(bootstrap(0, [], [made])))
    return path


@pytest.mark.parametrize("text", CASES, ids=lambda text: text.replace("envoy.", "")[30:130])
def test_taken(text: str, tmp_path: Path) -> None:
    path, expected = written(text, tmp_path), CASES[text]
    taken, words = envoy_takes(path)
    said = ours(path)
    assert (taken, said == "") == (expected == "", expected == ""), (words, said)
    if expected not in ("", "refused"):
        assert expected in words
        assert expected in said


@pytest.mark.parametrize("text", STRICTER, ids=lambda text: text.replace("envoy.", "")[30:130])
def test_stricter(text: str, tmp_path: Path) -> None:
    path = written(text, tmp_path)
    assert envoy_takes(path)[0]
    assert ours(path)
