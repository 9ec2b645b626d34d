"""Lines that a listener's access logs have for connections."""

from __future__ import annotations

from twistproxy.model.access_log import AccessLogSettings, LogFormat
from twistproxy.model.route import DirectResponse, RouteMatch, RouteSettings
from twistproxy.testing.data_plane import DataPlane, manager, routes_to

HELLO = routes_to(RouteSettings(RouteMatch(prefix="/"), DirectResponse(200, b"hi")))
FORMAT = (
    "%PROTOCOL% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESPONSE_FLAGS% %ACCESS_LOG_TYPE% %REQ(:PATH)%"
    " %RESPONSE_CODE% %DOWNSTREAM_LOCAL_ADDRESS% %REASON% %DOWNSTREAM_WIRE_BYTES_SENT%\n"
)


def test_connections_have_lines_of_their_own() -> None:
    log = AccessLogSettings("/connections", LogFormat(FORMAT))
    plane = DataPlane(manager(HELLO, connection_logs=(log,)))
    for sent in (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"foo\r\n\r\n", b""):
        client = plane.client()
        client.receive(sent)
        client.take()
        plane.clock.advance(0.25)
        client.lose("")
    lines = plane.logs.open("/connections").lines
    assert [line.split(" ", 3)[0:2] for line in lines] == [["HTTP/1.1", "28"], ["-", "7"], ["-", "0"]]
    endings = [line.split(" ", 3)[3] for line in lines]
    assert endings == [f"250 {flags} NotSet - 0 127.0.0.1:10000 - 0" for flags in ("-", "DPE", "-")]
    plane.finish()
