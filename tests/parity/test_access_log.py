"""Access logs: the default format field by field, and text formats with every common operator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .harness import Log, Proxy
from .operators import START, UUID, logged_values, operator_log
from .origin import raw
from .settings import Config, access_log, bootstrap, cluster, listener

pytestmark = pytest.mark.parity

# operator: pattern of its value for the request in `test_operator`
OPERATORS = {
    "%START_TIME%": START,
    "%START_TIME(%Y/%m/%d %H:%M:%S)%": r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d",
    "%START_TIME(%s)%": r"\d{10}",
    "%START_TIME(%s.%3f)%": r"\d{10}\.\d{3}",
    "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "%START_TIME(%9f)%": r"\d{9}",
    "%START_TIME(%f)%": r"\d{9}",
    "%START_TIME(%b %e)%": r"[A-Z][a-z]{2} [ \d]\d",
    "%REQ(X-ONE)%": "first",
    "%REQ(x-one)%": "first",
    "%REQ(X-NONE?X-ONE)%": "first",
    "%REQ(X-NONE)%": "-",
    "%REQ(X-NONE?X-NONE-EITHER)%": "-",
    "%REQ(X-ONE):3%": "fir",
    "%REQ(X-NONE?X-ONE):2%": "fi",
    "%REQ(X-ONE):99%": "first",
    "%REQ(X-TWICE)%": "a",
    "%REQ(:METHOD)%": "POST",
    "%REQ(:PATH)%": r"/log/NUMBER\?q=1",
    "%REQ(:AUTHORITY)%": "log.test:81",
    "%REQ(:SCHEME)%": "http",
    "%REQ(X-FORWARDED-PROTO)%": "http",
    "%REQ(X-REQUEST-ID)%": UUID,
    "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%": r"/log/NUMBER\?q=1",
    "%RESP(X-UP)%": "up value",
    "%RESP(x-up):2%": "up",
    "%RESP(NONE?X-UP)%": "up value",
    "%RESP(NONE)%": "-",
    "%RESP(:STATUS)%": "201",
    "%RESP(SERVER)%": "(envoy|twistproxy)",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%": r"\d{1,4}",
    "%TRAILER(X)%": "-",
    "%PROTOCOL%": "HTTP/1.1",
    "%RESPONSE_CODE%": "201",
    "%RESPONSE_CODE_DETAILS%": "via_upstream",
    "%RESPONSE_FLAGS%": "-",
    "%BYTES_RECEIVED%": "5",
    "%BYTES_SENT%": "7",
    "%DURATION%": r"\d{1,4}",
    "%REQUEST_DURATION%": r"\d{1,4}",
    "%RESPONSE_DURATION%": r"\d{1,4}",
    "%RESPONSE_TX_DURATION%": r"\d{1,4}",
    "%UPSTREAM_HOST%": r"127\.0\.0\.1:ORIGIN",
    "%UPSTREAM_CLUSTER%": "app",
    "%UPSTREAM_CLUSTER_RAW%": "app",
    "%UPSTREAM_REMOTE_ADDRESS%": r"127\.0\.0\.1:ORIGIN",
    "%UPSTREAM_LOCAL_ADDRESS%": r"127\.0\.0\.1:\d+",
    "%UPSTREAM_TRANSPORT_FAILURE_REASON%": "-",
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT%": "1",
    "%DOWNSTREAM_REMOTE_ADDRESS%": r"127\.0\.0\.1:CLIENT",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%": r"127\.0\.0\.1",
    "%DOWNSTREAM_REMOTE_PORT%": "CLIENT",
    "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%": r"127\.0\.0\.1:CLIENT",
    "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%": r"127\.0\.0\.1",
    "%DOWNSTREAM_DIRECT_REMOTE_PORT%": "CLIENT",
    "%DOWNSTREAM_LOCAL_ADDRESS%": r"127\.0\.0\.1:LISTENER",
    "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%": r"127\.0\.0\.1",
    "%DOWNSTREAM_LOCAL_PORT%": "LISTENER",
    "%ROUTE_NAME%": "the-route",
    "%CONNECTION_TERMINATION_DETAILS%": "-",
    "%HOSTNAME%": "HOSTNAME",
    "%UNIQUE_ID%": UUID,
    "%ENVIRONMENT(PARITY_NOT_SET)%": "-",
    "%BYTES_SENT%%BYTES_RECEIVED%": "75",
    "100%% \\\"quoted\\\" 'text' [x]": r"100% \\\"quoted\\\" 'text' \[x\]",
}

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {path: "/direct"}, direct_response: {status: 200, body: {inline_string: "direct!"}}}
  - {match: {prefix: "/moved/"}, route: {cluster: app, prefix_rewrite: "/"}}
  - {name: the-route, match: {prefix: "/"}, route: {cluster: app}}
"""


def stdout_log(text_format: str) -> Config:
    settings = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {"text_format_source": {"inline_string": text_format}},
    }
    return {"name": "envoy.access_loggers.stdout", "typed_config": settings}


def configure(proxy: Proxy) -> Config:
    logs = [operator_log(proxy, OPERATORS), access_log(proxy.log("second").path, "%REQ(:PATH)%\n")]
    listeners = [
        listener("main", proxy.port(), VIRTUAL_HOSTS, access_log=[access_log(proxy.log().path)]),
        listener(
            "stdout", proxy.port("stdout"), VIRTUAL_HOSTS, access_log=[stdout_log("out %REQ(:PATH)%\n")]
        ),
        listener(
            "device",
            proxy.port("device"),
            VIRTUAL_HOSTS,
            access_log=[access_log(Path("/dev/stdout"), "device %REQ(:PATH)%\n")],
        ),
        listener("operators", proxy.port("operators"), VIRTUAL_HOSTS, access_log=logs),
    ]
    return bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)])


@pytest.fixture(scope="module")
def values(proxy: Proxy) -> dict[str, tuple[str, str]]:
    return logged_values(proxy, OPERATORS)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.replace("ENVOY", ""))
def test_operator(values: dict[str, tuple[str, str]], operator: str) -> None:
    value, pattern = values[operator]
    assert re.fullmatch(pattern, value), f"{value!r} is not of the form {pattern!r}"


DEFAULT = re.compile(
    rf'\[({START})\] "(\S+) (\S+) (\S+)" (\d+) (\S+) (\d+) (\d+) (\d+) (\S+)' + ' "([^"]*)"' * 5
)


def default_line(proxy: Proxy, word: str) -> list[str]:
    """The fields of a line in the default format after its time."""
    found = DEFAULT.fullmatch(proxy.log().line(word))
    assert found, proxy.log().line(word)
    return list(found.groups()[1:])


def test_default_format(proxy: Proxy) -> None:
    lines = "user-agent: curl/8 (x)\r\nx-forwarded-for: 1.2.3.4\r\nx-request-id: my-id\r\n"
    proxy.ask("/default?a=1", method="PUT", headers=lines, body=b"123", host="h.test:80")
    method, path, protocol, code, flags, got, sent, duration, *rest = default_line(proxy, "/default?a=1")
    assert (method, path, protocol, code, flags) == ("PUT", "/default?a=1", "HTTP/1.1", "200", "-")
    assert (got, sent) == ("3", "5")
    assert int(duration) < 1000
    service_time, *texts = rest
    assert int(service_time) < 1000
    assert texts == ["1.2.3.4", "curl/8 (x)", "my-id", "h.test:80", proxy.origin().address]


def test_default_format_of_an_own_answer(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("GET /direct?own HTTP/1.1\r\nhost: a\r\n\r\n").read()
    fields = default_line(proxy, "/direct?own")
    assert fields[:7] == ["GET", "/direct?own", "HTTP/1.1", "200", "-", "0", "7"]
    assert fields[8] == "-"
    assert fields[9:11] == ["-", "-"]
    assert re.fullmatch(UUID, fields[11])
    assert fields[12:] == ["a", "-"]


def test_original_path_is_logged(proxy: Proxy) -> None:
    proxy.ask("/moved/here?x")
    assert default_line(proxy, "/moved/here?x")[:2] == ["GET", "/moved/here?x"]


def test_bytes_of_chunks_are_those_of_the_body(proxy: Proxy) -> None:
    proxy.origin().on(
        "/chunky", raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    )
    with proxy.client() as client:
        client.send(
            "POST /chunky HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
        )
        assert client.read().text == "abc"
    assert default_line(proxy, "/chunky")[5:7] == ["4", "3"]


def test_refused_request_is_logged(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.send("GET /bad HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n")
        assert client.read().status == 400
    line = proxy.log().line(" 400 DPE ")
    assert re.fullmatch(rf'\[{START}\] "- - HTTP/1\.1" 400 DPE 0 11 \d+ - "-" "-" "-" "-" "-"', line)


def test_odd_bytes_stay_in_one_line(proxy: Proxy) -> None:
    proxy.ask("/odd?1", headers='user-agent: a"b\tc\\d\xe9\r\n')
    [line] = [each for each in proxy.log().lines() if "/odd?1" in each] or [proxy.log().line("/odd?1")]
    assert 'a"b\tc\\d' in line


def test_every_log_of_a_listener_is_written(proxy: Proxy) -> None:
    proxy.ask("/second", "operators")
    assert proxy.log("second").line("/second") == "/second"


def test_lines_are_written_in_the_order_of_the_requests_end(proxy: Proxy) -> None:
    for number in range(5):
        proxy.ask(f"/ordered/{number}")
    proxy.log().line("/ordered/4")
    lines = [line for line in proxy.log().lines() if "/ordered/" in line]
    assert [line.split("/ordered/")[1][0] for line in lines] == list("01234")


@pytest.mark.parametrize(("name", "word"), [("stdout", "out"), ("device", "device")])
def test_standard_output(proxy: Proxy, name: str, word: str) -> None:
    proxy.ask(f"/to-{name}", name)
    output = Log(proxy.directory / "output.txt")
    assert output.line(f"/to-{name}") == f"{word} /to-{name}"
