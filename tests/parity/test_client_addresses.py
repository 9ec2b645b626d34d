"""Who a request is believed to come from: forwarded addresses, internal clients, schemes, ports, certificates."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy
from .sent import own_address
from .settings import Config, access_log, address, bootstrap, cluster, listener, read
from .wire import Client, Response, request_bytes

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - match: {path: "/redirect"}
    redirect: {path_redirect: "/other"}
  - match: {prefix: "/"}
    route: {cluster: app}
"""
FORMAT = (
    "%REQ(:PATH)%|%RESPONSE_CODE_DETAILS%|%DOWNSTREAM_REMOTE_ADDRESS%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
    "|%DOWNSTREAM_REMOTE_PORT%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%|%REQ(:SCHEME)%\n"
)
DETECTION = "type.googleapis.com/envoy.extensions.http.original_ip_detection."


def ranges(*texts: str) -> list[Config]:
    return [
        {"address_prefix": text.partition("/")[0], "prefix_len": int(text.partition("/")[2])}
        for text in texts
    ]


def xff(**fields: Any) -> Config:
    return {"name": "xff", "typed_config": {"@type": DETECTION + "xff.v3.XffConfig", **fields}}


def custom(**fields: Any) -> Config:
    typed = {"@type": DETECTION + "custom_header.v3.CustomHeaderConfig", "header_name": "X-Ip", **fields}
    return {"name": "custom", "typed_config": typed}


def detected_by(*extensions: Config) -> Config:
    return {"original_ip_detection_extensions": list(extensions), **INTERNAL}


INTERNAL = {"internal_address_config": {"cidr_ranges": ranges("127.0.0.0/8", "10.0.0.0/8")}}
EDGE = {"use_remote_address": True}
BOTH = ranges("127.0.0.0/8", "10.0.0.0/8")
OPTIONS: dict[str, Config] = {
    "main": {},
    "internal": INTERNAL,
    "private": {"internal_address_config": {}},
    "hops": {"xff_num_trusted_hops": 1, **INTERNAL},
    "edge": {**EDGE, **INTERNAL},
    "edge_hops": {**EDGE, "xff_num_trusted_hops": 1, **INTERNAL},
    "port": {"append_x_forwarded_port": True},
    "edge_port": {**EDGE, "append_x_forwarded_port": True},
    "hops_port": {**EDGE, "append_x_forwarded_port": True, "xff_num_trusted_hops": 1},
    "unix": {"internal_address_config": {"unix_sockets": True}},
    "edge_unix": {**EDGE, "internal_address_config": {"unix_sockets": True}},
    "edge_no_unix": EDGE,
    "xff_hops": detected_by(xff(xff_num_trusted_hops=1)),
    "xff_append": {**detected_by(xff(skip_xff_append=False)), "skip_xff_append": True},
    "xff_trusted": detected_by(xff(xff_trusted_cidrs={"cidrs": BOTH})),
    "xff_append_trusted": detected_by(xff(xff_trusted_cidrs={"cidrs": BOTH}, skip_xff_append=False)),
    "xff_distrusted": detected_by(xff(xff_trusted_cidrs={"cidrs": ranges("10.0.0.0/8")})),
    "custom": detected_by(custom()),
    "custom_trusted": detected_by(custom(allow_extension_to_set_address_as_trusted=True)),
    "custom_reject": detected_by(custom(reject_with_status={"code": "Unauthorized"})),
    "custom_forbid": detected_by(custom(reject_with_status={"code": "OK"})),
    "custom_then_xff": detected_by(custom(), xff()),
    "https": {"scheme_header_transformation": {"scheme_to_overwrite": "https"}},
    "edge_https": {**EDGE, "scheme_header_transformation": {"scheme_to_overwrite": "https"}},
    "keep_certificate": {"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"},
    "edge_keep_id": {**EDGE, "preserve_external_request_id": True},
    "edge_keep_plain_id": {
        **EDGE,
        "preserve_external_request_id": True,
        "request_id_extension": {
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
            }
        },
    },
} | {
    f"certificate_{kind.lower()}": {
        "forward_client_cert_details": kind,
        "set_current_client_cert_details": {"subject": True, "dns": True},
    }
    for kind in ("SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET")
}
UNIX = ("unix", "edge_unix", "edge_no_unix")


def place(proxy: Proxy, name: str) -> int | str:
    """Where the listener of this name is: a port or the path of a socket."""
    return str(proxy.directory / f"{name}.sock") if name in UNIX else proxy.port(name)


def configure(proxy: Proxy) -> Config:
    log = [access_log(proxy.log().path, FORMAT)]
    hosts = read(VIRTUAL_HOSTS)
    listeners = []
    for name, fields in OPTIONS.items():
        made = listener(name, 0, hosts, access_log=log, **fields)
        where = place(proxy, name)
        made["address"] = {"pipe": {"path": where}} if isinstance(where, str) else address(where)
        listeners.append(made)
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


def ask(proxy: Proxy, name: str, target: str, headers: str) -> Response:
    with Client(place(proxy, name)) as client:
        return client.send(request_bytes(target, headers=headers)).read()


def known(proxy: Proxy, name: str, headers: str) -> tuple[str | None, str, str]:
    """x-forwarded-for as it arrives, what is said of the client's standing, and its logged address.

    Standing: "internal", "edge <external address>", "edge" or "". IP tags arrive from internal clients only.
    """
    word = f"{name}-{abs(hash(headers))}"
    assert ask(proxy, name, f"/?{word}", headers + "x-envoy-ip-tags: a\r\n").status == 200
    seen = proxy.origin().take()
    forwarded = seen["x-forwarded-for"]
    if forwarded is not None:
        before, comma, last = forwarded.rpartition(",")
        forwarded = before + comma + ("SELF" if last == own_address() else last)
    standing = ""
    if seen["x-envoy-internal"] == "true":
        standing = "internal"
    elif seen["x-envoy-external-address"]:
        standing = f"edge {seen['x-envoy-external-address']}"
    assert (seen["x-envoy-ip-tags"] is not None) == (standing == "internal")
    _, _, full, bare, port, _, _ = proxy.log().line(f"{word}|").split("|")
    assert bare in full
    assert port in full or place(proxy, name) == bare
    return forwarded, standing, full if port == "0" else bare


DIRECT = "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "forwarded", "arrives", "standing", "logged"),
    [
        ("main", None, None, "", DIRECT),
        ("main", "1.2.3.4", "1.2.3.4", "", "1.2.3.4:0"),
        ("main", "1.2.3.4, 10.0.0.1 ", "1.2.3.4, 10.0.0.1", "", "10.0.0.1:0"),
        ("main", "127.0.0.1", "127.0.0.1", "", "127.0.0.1:0"),
        ("main", "::1", "::1", "", "[::1]:0"),
        ("main", "[::1]", "[::1]", "", DIRECT),
        ("main", "1.2.3.4:80", "1.2.3.4:80", "", DIRECT),
        ("main", "010.0.0.1", "010.0.0.1", "", DIRECT),
        ("main", "10.1", "10.1", "", DIRECT),
        ("main", "10.0.0.1,", "10.0.0.1,", "", DIRECT),
        ("main", "", "", "", DIRECT),
        ("internal", None, None, "", DIRECT),
        ("internal", "10.0.0.1", "10.0.0.1", "internal", "10.0.0.1:0"),
        ("internal", "1.2.3.4", "1.2.3.4", "", "1.2.3.4:0"),
        ("internal", "1.2.3.4,10.0.0.1", "1.2.3.4,10.0.0.1", "", "10.0.0.1:0"),
        ("private", "10.255.0.1", "10.255.0.1", "internal", "10.255.0.1:0"),
        ("private", "172.31.0.1", "172.31.0.1", "internal", "172.31.0.1:0"),
        ("private", "172.32.0.1", "172.32.0.1", "", "172.32.0.1:0"),
        ("private", "192.168.9.9", "192.168.9.9", "internal", "192.168.9.9:0"),
        ("private", "127.0.0.1", "127.0.0.1", "internal", "127.0.0.1:0"),
        ("private", "127.0.0.2", "127.0.0.2", "", "127.0.0.2:0"),
        ("private", "::1", "::1", "internal", "[::1]:0"),
        ("private", "fd00::1", "fd00::1", "internal", "[fd00::1]:0"),
        ("private", "fe80::1", "fe80::1", "", "[fe80::1]:0"),
        ("hops", "1.2.3.4", "1.2.3.4", "", DIRECT),
        ("hops", "10.0.0.1,1.2.3.4", "10.0.0.1,1.2.3.4", "", "10.0.0.1:0"),
        ("hops", "1.2.3.4,,10.0.0.1", "1.2.3.4,,10.0.0.1", "", DIRECT),
        ("edge", None, "SELF", "internal", DIRECT),
        ("edge", "10.0.0.1", "10.0.0.1,SELF", "edge 127.0.0.1", DIRECT),
        ("edge", "", "SELF", "edge 127.0.0.1", DIRECT),
        ("edge_hops", None, "SELF", "internal", DIRECT),
        ("edge_hops", "10.0.0.1", "10.0.0.1,SELF", "edge 10.0.0.1", "10.0.0.1:0"),
        ("edge_hops", "bad", "bad,SELF", "edge 127.0.0.1", DIRECT),
        ("unix", None, None, "", "SOCKET"),
        ("unix", "10.0.0.1", "10.0.0.1", "internal", "10.0.0.1:0"),
        ("edge_unix", None, None, "internal", "SOCKET"),
        ("edge_unix", "10.0.0.1", "10.0.0.1", "", "SOCKET"),
        ("edge_no_unix", None, None, "", "SOCKET"),
        ("xff_hops", "10.0.0.1,1.2.3.4", "10.0.0.1,1.2.3.4", "", "10.0.0.1:0"),
        ("xff_append", None, "SELF", "", DIRECT),
        ("xff_append", "10.0.0.1", "10.0.0.1,SELF", "internal", "10.0.0.1:0"),
        ("xff_append", "bad", "bad,SELF", "", DIRECT),
        ("xff_trusted", "10.0.0.1", "10.0.0.1", "internal", "10.0.0.1:0"),
        ("xff_trusted", "10.0.0.1,10.0.0.2", "10.0.0.1,10.0.0.2", "", "10.0.0.1:0"),
        ("xff_trusted", "1.1.1.1, 2.2.2.2 ,10.0.0.5", "1.1.1.1, 2.2.2.2 ,10.0.0.5", "", "2.2.2.2:0"),
        ("xff_trusted", "bad,10.0.0.1", "bad,10.0.0.1", "", DIRECT),
        ("xff_trusted", "1.2.3.4,,10.0.0.1", "1.2.3.4,,10.0.0.1", "", DIRECT),
        ("xff_append_trusted", "1.2.3.4,10.0.0.1", "1.2.3.4,10.0.0.1,SELF", "", "1.2.3.4:0"),
        ("xff_distrusted", "1.2.3.4", "1.2.3.4,SELF", "", DIRECT),
        ("xff_distrusted", None, "SELF", "", DIRECT),
        ("custom_then_xff", "10.0.0.7", "10.0.0.7", "internal", "10.0.0.7:0"),
    ],
)
def test_forwarded_for(
    proxy: Proxy, name: str, forwarded: str | None, arrives: str | None, standing: str, logged: str
) -> None:
    headers = "" if forwarded is None else f"x-forwarded-for: {forwarded}\r\n"
    logged = logged.replace("SOCKET", str(place(proxy, name)))
    assert known(proxy, name, headers) == (arrives, standing, logged)


@pytest.mark.parametrize(
    ("name", "value", "standing", "logged"),
    [
        ("custom", "10.0.0.1", "", "10.0.0.1:0"),
        ("custom", "bad", "", DIRECT),
        ("custom", "10.0.0.1,1.2.3.4", "", DIRECT),
        ("custom", "10.0.0.1:80", "", DIRECT),
        ("custom", "[::1]", "", DIRECT),
        ("custom", "::1", "", "[::1]:0"),
        ("custom_trusted", "10.0.0.1", "internal", "10.0.0.1:0"),
        ("custom_trusted", "1.2.3.4", "", "1.2.3.4:0"),
        ("custom_trusted", "10.0.0.1\r\nx-ip: 1.2.3.4", "internal", "10.0.0.1:0"),
        ("custom_reject", "1.2.3.4", "", "1.2.3.4:0"),
        ("custom_then_xff", "1.2.3.4", "", "1.2.3.4:0"),
    ],
)
def test_header_of_ones_own(proxy: Proxy, name: str, value: str, standing: str, logged: str) -> None:
    assert known(proxy, name, f"x-ip: {value}\r\n") == (None, standing, logged)


@pytest.mark.parametrize(("name", "status"), [("custom_reject", 401), ("custom_forbid", 403)])
@pytest.mark.parametrize("value", [None, "bad", ""])
def test_no_address_no_answer(proxy: Proxy, name: str, status: int, value: str | None) -> None:
    before = proxy.stat(f"http.{name}.downstream_rq_rejected_via_ip_detection")
    word = f"no-address-{value}-{status}"
    line = "" if value is None else f"x-ip: {value}\r\n"
    response = ask(proxy, name, f"/?{word}", line)
    assert (response.status, response.text, response["connection"]) == (status, "", None)
    logged = proxy.log().line(word).split("|")
    assert (logged[1], logged[6]) == ("rejecting_because_detection_failed", "-")
    assert proxy.stat(f"http.{name}.downstream_rq_rejected_via_ip_detection") == before + 1


@pytest.mark.parametrize(
    ("name", "given", "arrives"),
    [
        ("main", None, None),
        ("main", "99", "99"),
        ("port", None, "PORT"),
        ("port", "99", "99"),
        ("edge_port", None, "PORT"),
        ("edge_port", "99", "PORT"),
        ("hops_port", None, "PORT"),
        ("hops_port", "99", "99"),
    ],
)
def test_forwarded_port(proxy: Proxy, name: str, given: str | None, arrives: str | None) -> None:
    ask(proxy, name, "/", "" if given is None else f"x-forwarded-port: {given}\r\n")
    found = proxy.origin().take()["x-forwarded-port"]
    assert found == (str(proxy.port(name)) if arrives == "PORT" else arrives)


@pytest.mark.parametrize(
    ("name", "given", "arrives", "scheme"),
    [
        ("main", None, "http", "http"),
        ("main", "https", "https", "https"),
        ("main", "HTTPS", "HTTPS", "https"),
        ("main", "ftp", "ftp", "http"),
        ("main", "http, https", "http, https", "http"),
        ("edge", "https", "http", "http"),
        ("edge_hops", "https", "https", "https"),
        ("https", None, "https", "https"),
        ("https", "http", "https", "https"),
        ("edge_https", None, "https", "https"),
    ],
)
def test_scheme(proxy: Proxy, name: str, given: str | None, arrives: str, scheme: str) -> None:
    line = "" if given is None else f"x-forwarded-proto: {given}\r\n"
    word = f"scheme-{name}-{str(given).replace(' ', '')}"
    ask(proxy, name, f"/?{word}", line)
    assert proxy.origin().take()["x-forwarded-proto"] == arrives
    assert proxy.log().line(word + "|").split("|")[6] == scheme
    assert ask(proxy, name, "/redirect", line)["location"] == f"{scheme}://app.test/other"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_scheme_of_the_target(proxy: Proxy, scheme: str) -> None:
    response = ask(proxy, "main", f"{scheme}://h/redirect", "x-forwarded-proto: https\r\n")
    assert response["location"] == f"{scheme}://h/other"


@pytest.mark.parametrize("name", ["main", "edge_hops"])
def test_no_scheme_no_route(proxy: Proxy, name: str) -> None:
    before = proxy.stat(f"http.{name}.no_route")
    assert ask(proxy, name, "/redirect", "x-forwarded-proto:\r\n").status == 404
    assert proxy.stat(f"http.{name}.no_route") == before + 1


@pytest.mark.parametrize("name", [name for name in OPTIONS if "certificate" in name])
def test_client_certificate(proxy: Proxy, name: str) -> None:
    ask(proxy, name, "/", "x-forwarded-client-cert: By=a\r\n")
    expected = "By=a" if name == "keep_certificate" else None
    assert proxy.origin().take()["x-forwarded-client-cert"] == expected
    ask(proxy, name, "/", "")
    assert proxy.origin().take()["x-forwarded-client-cert"] is None


TRACED = "0aaaaaaa-bbbb-9ccc-8ddd-eeeeeeeeeeee"


@pytest.mark.parametrize(
    ("name", "given", "arrives"),
    [
        ("main", TRACED, TRACED),
        ("main", "short", "short"),
        ("main", "", "NEW"),
        ("edge_no_unix", TRACED, "NEW"),
        ("edge_keep_id", TRACED, TRACED.replace("-9", "-4")),
        ("edge_keep_id", "short", "short"),
        ("edge_keep_id", "", "NEW"),
        ("edge_keep_plain_id", TRACED, TRACED),
    ],
)
def test_request_id(proxy: Proxy, name: str, given: str, arrives: str) -> None:
    ask(proxy, name, "/", f"x-request-id: {given}\r\n")
    seen = proxy.origin().take()
    if arrives == "NEW":
        assert seen["x-request-id"] != given
        assert ("x-request-id", "ID") in seen.normal
    else:
        assert seen["x-request-id"] == arrives


@pytest.mark.parametrize(("name", "told"), [("main", False), ("internal", True)])
def test_forced_trace_tells_the_request_id(proxy: Proxy, name: str, told: bool) -> None:
    headers = "x-request-id: mine\r\nx-forwarded-for: 10.0.0.1\r\nx-envoy-force-trace: true\r\n"
    response = ask(proxy, name, "/", headers)
    assert response["x-request-id"] == ("mine" if told else None)
    assert (proxy.origin().take()["x-envoy-force-trace"] is not None) == told
