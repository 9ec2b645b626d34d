"""The listener filter proxy_protocol: who the client is, is told before its first byte."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .settings import Config, access_log, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity

CONCURRENCY = (1, 2)
FILTER = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
FORMAT = (
    "path=%REQ(:PATH)%\tremote=%DOWNSTREAM_REMOTE_ADDRESS%\tdirect=%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
    "\tlocal=%DOWNSTREAM_LOCAL_ADDRESS%\n"
)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LISTENERS: dict[str, tuple[Config, Config]] = {
    "main": ({}, {}),
    "named": ({"stat_prefix": "mine"}, {}),
    "optional": ({"allow_requests_without_proxy_protocol": True}, {}),
    "no_v2": ({"disallowed_versions": ["V2"]}, {}),
    "no_v1": ({"disallowed_versions": ["V1"], "allow_requests_without_proxy_protocol": True}, {}),
    "short": ({}, {"listener_filters_timeout": "0.2s"}),
    "patient": ({}, {"listener_filters_timeout": "0.2s", "continue_on_listener_filters_timeout": True}),
}


def configure(proxy: Proxy) -> Config:
    log = [access_log(proxy.log().path, FORMAT)]
    listeners = []
    for name, (settings, fields) in LISTENERS.items():
        made = listener(name, proxy.port(name), routes_to("app"), access_log=log, use_remote_address=True)
        one = {"name": "proxy", "typed_config": {"@type": FILTER, **settings}}
        listeners.append({**made, "listener_filters": [one], **fields})
    old = listener("old", proxy.port("old"), routes_to("app"), access_log=log)
    old["filter_chains"][0]["use_proxy_proto"] = True
    listeners.append(old)
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


def v2(command: int, family: int, rest: bytes, version: int = 2) -> bytes:
    return SIGNATURE + bytes([version << 4 | command, family]) + len(rest).to_bytes(2, "big") + rest


FOUR = bytes([1, 2, 3, 4, 5, 6, 7, 8]) + (1000).to_bytes(2, "big") + (2000).to_bytes(2, "big")
SIX = (
    b"\1"
    + bytes(14)
    + b"\1"
    + b"\1"
    + bytes(14)
    + b"\2"
    + (1000).to_bytes(2, "big")
    + (2000).to_bytes(2, "big")
)
TLV = b"\x20\0\3abc"
CALLED = ("1.2.3.4:1000", "5.6.7.8:2000")

GOOD: dict[str, tuple[bytes, tuple[str, str] | None]] = {
    "v1": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\n", CALLED),
    "v1_six": (b"PROXY TCP6 1::2 3::4 1000 2000\r\n", ("[1::2]:1000", "[3::4]:2000")),
    "v1_unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1_unknown_more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    "v2": (v2(1, 0x11, FOUR), CALLED),
    "v2_six": (v2(1, 0x21, SIX), ("[100::1]:1000", "[100::2]:2000")),
    "v2_tlv": (v2(1, 0x11, FOUR + TLV), CALLED),
    "v2_datagram": (v2(1, 0x12, FOUR), CALLED),
    "v2_local": (v2(0, 0, b""), None),
    "v2_local_more": (v2(0, 0x11, FOUR), None),
}
BAD = {
    "v1_family": b"PROXY TCP5 1.2.3.4 5.6.7.8 1000 2000\r\n",
    "v1_mixed": b"PROXY TCP4 1::2 3::4 1000 2000\r\n",
    "v1_few": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n",
    "v1_many": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000 3000\r\n",
    "v1_port": b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 200000\r\n",
    "v1_address": b"PROXY TCP4 1.2.3 5.6.7.8 1000 2000\r\n",
    "v1_long": b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
    "v2_version": v2(1, 0x11, FOUR, version=3),
    "v2_command": v2(2, 0x11, FOUR),
    "v2_family": v2(1, 0x31, bytes(216)),
    "v2_unspecified": v2(1, 0, b""),
    "v2_short": v2(1, 0x11, FOUR[:8]),
    "none": b"",
}


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()


def found(proxy: Proxy, case: str) -> tuple[str, str] | None:
    """What the log has of the request: remote and local address, None for those of the connection itself."""
    line = proxy.log().fields(f"/{case}\t")
    assert line["direct"] == "127.0.0.1"
    if line["remote"].startswith("127.0.0.1"):
        assert line["local"].startswith("127.0.0.1")
        return None
    return line["remote"], line["local"]


@pytest.mark.parametrize("pieces", ["whole", "cut"])
@pytest.mark.parametrize("case", GOOD)
def test_header(proxy: Proxy, case: str, pieces: str) -> None:
    header, expected = GOOD[case]
    name = f"{case}_{pieces}"
    with proxy.client() as client:
        if pieces == "cut":
            client.send(header[:5])
            assert client.still_open()
            client.send(header[5:-1])
            assert client.still_open()
            header = header[-1:]
        assert client.send(header + request(f"/{name}")).read().status == 200
        assert client.send(request(f"/{name}_again")).read().status == 200
    assert found(proxy, name) == expected
    assert found(proxy, f"{name}_again") == expected
    told = proxy.origin().take()["x-forwarded-for"]
    assert expected is None or told == expected[0].rpartition(":")[0].strip("[]")


@pytest.mark.parametrize("case", BAD)
def test_no_header(proxy: Proxy, case: str) -> None:
    """Closed without an answer."""
    with proxy.client() as client:
        client.send(BAD[case] + request("/bad"))
        assert client.ended()


@pytest.mark.parametrize("case", ["v1_port", "v2_command"])
def test_a_bad_header_is_none_where_it_is_optional(proxy: Proxy, case: str) -> None:
    with proxy.client("optional") as client:
        client.send(BAD[case] + request("/bad"))
        assert client.ended()


@pytest.mark.parametrize("name", ["optional", "no_v1"])
def test_without_a_header(proxy: Proxy, name: str) -> None:
    with proxy.client(name) as client:
        assert client.send(request(f"/without_{name}")).read().status == 200
    assert found(proxy, f"without_{name}") is None


def test_a_beginning_that_could_be_one(proxy: Proxy) -> None:
    with proxy.client("optional") as client:
        client.send("P")
        assert client.still_open()
        assert client.send("UT /put HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").read().status == 200


@pytest.mark.parametrize(("name", "case"), [("no_v2", "v2"), ("no_v1", "v1")])
def test_versions(proxy: Proxy, name: str, case: str) -> None:
    with proxy.client(name) as client:
        client.send(GOOD[case][0] + request("/version"))
        if name == "no_v1":  # no header is needed here, and so this is none
            assert client.read().status == 400
        assert client.ended()
    other = {"v1": "v2", "v2": "v1"}[case]
    with proxy.client(name) as client:
        assert client.send(GOOD[other][0] + request(f"/version_{name}")).read().status == 200
    assert found(proxy, f"version_{name}") == CALLED


def test_the_old_field(proxy: Proxy) -> None:
    with proxy.client("old") as client:
        assert client.send(GOOD["v1"][0] + request("/old")).read().status == 200
    assert found(proxy, "old") == CALLED


def test_time_limit(proxy: Proxy) -> None:
    name = f"listener.127.0.0.1_{proxy.port('short')}.downstream_pre_cx_timeout"
    before = proxy.stat(name)
    with proxy.client("short") as client:
        client.send("PROXY TCP4")
        assert client.still_open()
        assert client.ended()
    assert proxy.stat(name) == before + 1


def test_going_on_after_the_time_limit(proxy: Proxy) -> None:
    with proxy.client("patient") as client:
        client.send("P")  # may become a header, or not
        assert client.still_open(0.4)
        answer = client.send("OST /patient HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").read()
        assert answer.status == 200
    assert found(proxy, "patient") is None


def test_nothing_at_all(proxy: Proxy) -> None:
    name = f"listener.127.0.0.1_{proxy.port()}.downstream_listener_filter_remote_close"
    with proxy.client() as client:
        client.finish()
        assert client.ended()
    assert wait_for(lambda: proxy.stat(name) == 1)


def test_statistics(proxy: Proxy) -> None:
    proxy.ask("/x", "optional")
    with proxy.client("named") as client:
        client.send(GOOD["v2"][0] + request("/named")).read()
    with proxy.client("named") as client:
        assert client.send(BAD["v1_few"]).ended()
    with proxy.client("named") as client:
        assert client.send(request("/none")).ended()
    stats = proxy.stats("^proxy_proto.mine")
    assert stats["proxy_proto.mine.versions.v2.found"] >= 1
    assert stats["proxy_proto.mine.versions.v1.error"] >= 1
    assert stats["proxy_proto.mine.not_found_disallowed"] >= 1
    assert proxy.stat("proxy_proto.not_found_allowed") >= 1
