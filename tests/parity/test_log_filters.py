"""Filters of access logs: which requests are in which log; and lines before a request's end."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .origin import raw
from .settings import Config, access_log, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: "/direct"}, direct_response: {status: 299, body: {inline_string: "direct!"}}}
  - {match: {prefix: "/empty"}, route: {cluster: empty}}
  - {match: {prefix: "/up"}, route: {cluster: app}}
  - {match: {prefix: "/slow"}, route: {cluster: app}}
  - {match: {prefix: "/grpc"}, route: {cluster: app}}
"""

#: request: target and further header lines
REQUESTS = {
    "direct": "",
    "none": "",
    "empty": "x-kind: special\r\n",
    "up": "x-kind: plain\r\n",
    "slow": "x-kind: special\r\nx-kind: other\r\n",
    "grpc": "content-type: application/grpc\r\n",
    "id": "x-request-id: 00000031-0000-4000-8000-000000000000\r\n",
    "id99": "x-request-id: 00000063-0000-4000-8000-000000000000\r\n",
}


def compared(kind: str, op: str, value: int, key: str = "none.such") -> Config:
    return {kind: {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": key}}}}


def sampled(percent: int, denominator: str = "HUNDRED", **more: Any) -> Config:
    share = {"numerator": percent, "denominator": denominator}
    return {"runtime_filter": {"runtime_key": "none.such", "percent_sampled": share, **more}}


def header(name: str, **matcher: Any) -> Config:
    return {"header_filter": {"header": {"name": name, **matcher}}}


METADATA = {"filter": "ns", "path": [{"key": "key"}], "value": {"string_match": {"exact": "value"}}}
FLAGGED: Config = {"response_flag_filter": {}}
#: log: its filter, and the requests that are in it
FILTERS: dict[str, tuple[Config, str]] = {
    "eq": (compared("status_code_filter", "EQ", 299), "direct"),
    "ge": (compared("status_code_filter", "GE", 404), "none empty id id99"),
    "le": (compared("status_code_filter", "LE", 299), "direct up slow grpc"),
    "duration": (compared("duration_filter", "GE", 50), "slow"),
    "quick": (compared("duration_filter", "LE", 49), "direct none empty up grpc id id99"),
    "healthy": ({"not_health_check_filter": {}}, "direct none empty up slow grpc id id99"),
    "traced": ({"traceable_filter": {}}, ""),
    "all": (sampled(100), "direct none empty up slow grpc id id99"),
    "no": (sampled(0), ""),
    "half": (
        {"and_filter": {"filters": [sampled(50), header("x-request-id", string_match={"prefix": "000000"})]}},
        "id",
    ),
    "fine": (
        {
            "and_filter": {
                "filters": [
                    sampled(50, "TEN_THOUSAND"),
                    header("x-request-id", string_match={"prefix": "000000"}),
                ]
            }
        },
        "id",
    ),
    "independent": (sampled(100, use_independent_randomness=True), "direct none empty up slow grpc id id99"),
    "present": (header("x-kind", present_match=True), "empty up slow"),
    "exact": (header("x-kind", string_match={"exact": "special"}), "empty slow"),
    "path": (header(":path", string_match={"prefix": "/d"}), "direct"),
    "inverted": (header("x-kind", present_match=True, invert_match=True), "direct none grpc id id99"),
    "any_flag": (FLAGGED, "none empty id id99"),
    "uh": ({"response_flag_filter": {"flags": ["UH", "UF"]}}, "empty"),
    "or": (
        {
            "or_filter": {
                "filters": [compared("status_code_filter", "EQ", 299), header("x-kind", present_match=True)]
            }
        },
        "direct empty up slow",
    ),
    "and": ({"and_filter": {"filters": [FLAGGED, header("x-kind", present_match=True)]}}, "empty"),
    "grpc5": ({"grpc_status_filter": {"statuses": ["NOT_FOUND"]}}, "grpc"),
    "grpc12": ({"grpc_status_filter": {"statuses": ["UNIMPLEMENTED"]}}, "none id id99"),
    "grpc14": ({"grpc_status_filter": {"statuses": ["UNAVAILABLE"]}}, "empty"),
    "grpc2": ({"grpc_status_filter": {"statuses": ["UNKNOWN"]}}, "direct up slow"),
    "grpc_not5": (
        {"grpc_status_filter": {"statuses": ["NOT_FOUND"], "exclude": True}},
        "direct none empty up slow id id99",
    ),
    "metadata": ({"metadata_filter": {"matcher": METADATA}}, "direct none empty up slow grpc id id99"),
    "no_metadata": (
        {"metadata_filter": {"matcher": METADATA, "match_if_key_not_found": False}},
        "",
    ),
    "at_end": ({"log_type_filter": {"types": ["DownstreamEnd"]}}, "direct none empty up slow grpc id id99"),
    "not_at_end": ({"log_type_filter": {"types": ["DownstreamEnd"], "exclude": True}}, ""),
}


def configure(proxy: Proxy) -> Config:
    logs = []
    for name, (condition, _) in FILTERS.items():
        log = access_log(proxy.log(name).path, "%REQ(:PATH)%\n")
        log["filter"] = condition
        logs.append(log)
    main = listener("main", proxy.port(), VIRTUAL_HOSTS, access_log=logs)
    types = access_log(proxy.log("types").path, "%REQ(:PATH)%=%ACCESS_LOG_TYPE% %RESPONSE_CODE% %DURATION%\n")
    ends = access_log(proxy.log("ends").path, "%REQ(:PATH)%\n")
    ends["filter"] = {"log_type_filter": {"types": ["DownstreamStart", "DownstreamEnd"]}}
    options = {"flush_access_log_on_new_request": True, "access_log_flush_interval": "0.05s"}
    early = listener(
        "early", proxy.port("early"), VIRTUAL_HOSTS, access_log=[types, ends], access_log_options=options
    )
    old = access_log(proxy.log("old").path, "%REQ(:PATH)%=%ACCESS_LOG_TYPE%\n")
    older = listener(
        "oldest", proxy.port("oldest"), VIRTUAL_HOSTS, access_log=[old], flush_access_log_on_new_request=True
    )
    tunnel = listener(
        "tunnel",
        proxy.port("tunnel"),
        VIRTUAL_HOSTS,
        access_log=[access_log(proxy.log("tunnel").path, "%REQ(:PATH)%=%ACCESS_LOG_TYPE% %RESPONSE_CODE%\n")],
        access_log_options={"flush_log_on_tunnel_successfully_established": True},
        upgrade_configs=[{"upgrade_type": "websocket"}],
    )
    return bootstrap(
        proxy.port("admin"),
        [main, early, older, tunnel],
        [cluster("app", proxy.origin().port), cluster("empty")],
    )


@pytest.fixture(scope="module")
def asked(proxy: Proxy) -> Proxy:
    proxy.origin().on("/slow", raw(0.06, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
    proxy.origin().on(
        "/grpc",
        raw(
            "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\ncontent-length: 0\r\n\r\n"
        ),
    )
    for name, lines in REQUESTS.items():
        proxy.ask(f"/{name}", headers=lines)
    proxy.log("all").line("/id99")
    time.sleep(0.05)
    return proxy


@pytest.mark.parametrize("name", FILTERS)
def test_filter(asked: Proxy, name: str) -> None:
    assert " ".join(line[1:] for line in asked.log(name).lines()) == FILTERS[name][1]


def lines_of(proxy: Proxy, log: str, word: str, count: int) -> list[str]:
    """The lines with this word, as soon as there are so many."""

    def found() -> list[str]:
        return [line.split("=")[1] for line in proxy.log(log).lines() if word in line]

    wait_for(lambda: len(found()) >= count)
    return found()


def test_lines_before_the_end(proxy: Proxy) -> None:
    proxy.origin().on("/up", raw(0.12, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
    proxy.ask("/up?early", "early")
    proxy.log("types").line("=DownstreamEnd")
    lines = ";".join(lines_of(proxy, "types", "?early", 3))
    assert re.fullmatch(r"DownstreamStart 0 \d;(DownstreamPeriodic 0 \d+;){1,3}DownstreamEnd 200 \d+", lines)
    assert wait_for(lambda: proxy.log("ends").lines()[1:]) == ["/up?early"]


def test_a_request_without_a_route_begins_too(proxy: Proxy) -> None:
    proxy.ask("/none?early", "early")
    lines = lines_of(proxy, "types", "/none?early", 2)
    assert [line[:18] for line in lines] == ["DownstreamStart 0 ", "DownstreamEnd 404 "]


def test_a_line_when_a_tunnel_is_open(proxy: Proxy) -> None:
    switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    proxy.origin().on("/up", raw(switched, then="close"))
    with proxy.client("tunnel") as client:
        client.send("GET /up?ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert client.read().status == 101
    kinds = lines_of(proxy, "tunnel", "/up?ws", 2)
    assert kinds == ["DownstreamTunnelSuccessfullyEstablished 101", "DownstreamEnd 101"]


def test_deprecated_option(proxy: Proxy) -> None:
    proxy.ask("/direct?old", "oldest")
    assert lines_of(proxy, "old", "?old", 2) == ["DownstreamStart", "DownstreamEnd"]
