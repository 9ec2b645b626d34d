"""Lines in logs for each attempt at an upstream, in virtual time."""

from __future__ import annotations

from twistproxy.model.access_log import AccessLogSettings, LogFormat, UpstreamLogOptions
from twistproxy.model.retry import RETRY_ON, RequestPlan, RetryPolicy
from twistproxy.model.route import ClusterAction, RouteMatch, RouteSettings
from twistproxy.model.upgrade import UpgradeSettings
from twistproxy.testing.data_plane import DataPlane, manager, routes_to

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 X\r\nContent-Length: 3\r\n\r\nbad"
FORMAT = (
    "%ACCESS_LOG_TYPE% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION%"
    " %REQUEST_DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION% %PROTOCOL%"
    " %UPSTREAM_HOST%\n"
)
HOST = "10.0.0.1:80"


def plane(options: UpstreamLogOptions | None = None, form: str = FORMAT) -> DataPlane:
    policy = RetryPolicy(RETRY_ON["5xx"], num_retries=1, base_interval=0.1, max_interval=0.1)
    retried = RouteSettings(RouteMatch(prefix="/x"), ClusterAction("app", plan=RequestPlan(policy)))
    other = RouteSettings(RouteMatch(prefix="/"), ClusterAction("app"))
    settings = manager(
        routes_to(retried, other),
        upstream_logs=(AccessLogSettings("/up", LogFormat(form)),),
        upstream_log_options=options or UpstreamLogOptions(),
        upgrades=(UpgradeSettings("websocket", True),),
    )
    return DataPlane(settings)


def lines(data: DataPlane) -> list[str]:
    return data.logs.open("/up").lines


def test_each_attempt_has_its_own_times_and_bytes() -> None:
    data = plane()
    client = data.client()
    client.receive(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd")
    data.upstream.receive(BAD)
    assert lines(data) == [f"UpstreamEnd 503 - 0 4 0 - 0 0 - HTTP/1.1 {HOST}"]
    data.clock.advance(0.2)
    upstream = data.upstream
    data.clock.advance(0.25)
    upstream.receive(OK)
    ended = lines(data)[1].split()
    assert ended[:5] == ["UpstreamEnd", "200", "-", "2", "4"] and 250 <= int(ended[5]) < 450
    assert len(lines(data)) == 2 and data.log == ["POST /x 200 - via_upstream 4 2"]
    data.finish()


def test_an_attempt_that_never_had_a_connection() -> None:
    data = plane()
    data.client().receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    data.connector.attempts[0].fail()
    assert lines(data) == [f"UpstreamEnd 0 UF 0 0 0 - - - - - {HOST}"]
    data.finish()


def test_the_client_leaves_before_there_is_a_connection() -> None:
    data = plane()
    client = data.client()
    client.receive(GET)
    client.lose("")
    assert lines(data) == ["UpstreamEnd 0 - 0 0 0 - - - - - -"]
    data.finish()


def test_lines_while_an_attempt_lasts() -> None:
    data = plane(UpstreamLogOptions(on_pool_ready=True, interval=1.0))
    client = data.client()
    client.receive(GET)
    upstream = data.upstream
    for _ in range(3):
        data.clock.advance(0.75)
    upstream.receive(OK)
    assert client.take().endswith(b"ok")
    for _ in range(3):
        data.clock.advance(0.75)
    kinds = [line.split()[0] for line in lines(data)]
    assert kinds == ["UpstreamPoolReady", "UpstreamPeriodic", "UpstreamPeriodic", "UpstreamEnd"]
    data.finish()


def test_a_tunnel_has_one_line_with_all_that_passed() -> None:
    data = plane()
    client = data.client()
    client.receive(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    upstream = data.upstream
    upstream.receive(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nabc")
    client.receive(b"defgh")
    assert lines(data) == []
    client.lose("")
    assert [line.split()[:5] for line in lines(data)] == [["UpstreamEnd", "101", "-", "3", "5"]]
    data.finish()


def test_what_is_only_explained_is_not_logged() -> None:
    data = plane()
    data.runtime.explain({"path": "/x", "host": "a", "headers": []})
    assert lines(data) == []
    data.finish()


def test_bytes_of_answers_without_content_are_their_own() -> None:
    """The connection is free before such an answer is passed on."""
    data = plane(form="%UPSTREAM_WIRE_BYTES_RECEIVED% %UPSTREAM_WIRE_BYTES_SENT%\n")
    client = data.client()
    empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    for _ in range(3):
        client.receive(GET)
        data.upstream.receive(empty)
        assert client.take().startswith(b"HTTP/1.1 200")
    found = [line.split() for line in lines(data)]
    assert [received for received, _ in found] == [str(len(empty))] * 3
    assert len({sent for _, sent in found}) == 1
    assert len(data.connector.attempts) == 1
    data.finish()
