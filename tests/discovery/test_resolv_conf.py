from __future__ import annotations

from twistproxy.discovery.resolv_conf import (
    ResolverSettings,
    candidate_names,
    is_ip,
    parse_hosts,
    parse_resolv_conf,
)

KUBERNETES = """
# written by the kubelet
nameserver 10.96.0.10
nameserver fe80::1%eth0 ; second
nameserver not-an-address
search default.svc.cluster.local svc.cluster.local cluster.local
options ndots:5 timeout:2
"""


def test_resolv_conf() -> None:
    settings = parse_resolv_conf(KUBERNETES)
    assert settings.nameservers == (("10.96.0.10", 53), ("fe80::1%eth0", 53))
    assert settings.search == ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
    assert settings.ndots == 5


def test_an_empty_resolv_conf_means_this_machine() -> None:
    assert parse_resolv_conf("") == ResolverSettings((("127.0.0.1", 53),))


def test_the_last_of_domain_and_search_counts() -> None:
    assert parse_resolv_conf("search a b\ndomain c").search == ("c",)


def test_candidates() -> None:
    settings = ResolverSettings((), ("x.test", "y.test."), ndots=2)
    assert candidate_names("app", settings) == ("app.x.test", "app.y.test", "app")
    assert candidate_names("app.ns", settings) == ("app.ns.x.test", "app.ns.y.test", "app.ns")
    assert candidate_names("app.ns.svc", settings)[0] == "app.ns.svc"
    assert candidate_names("app.", settings) == ("app",)


def test_hosts() -> None:
    hosts = parse_hosts("127.0.0.1 localhost Box # me\n::1 localhost ip6-localhost\nnonsense box\n10.0.0.1\n")
    assert hosts == {"localhost": ("127.0.0.1", "::1"), "box": ("127.0.0.1",), "ip6-localhost": ("::1",)}


def test_is_ip() -> None:
    assert is_ip("10.0.0.1")
    assert is_ip("::1")
    assert not is_ip("localhost")
    assert not is_ip("10.0.0.1:80")
    assert not is_ip("")
