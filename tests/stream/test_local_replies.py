"""Local replies in a data plane without sockets."""

from __future__ import annotations

from dataclasses import replace

from twistproxy.http.grpc import encoded_message, is_grpc, status_of_http
from twistproxy.http.headers import HeaderMap
from twistproxy.model.access_log import LogFormat
from twistproxy.model.header_rules import HeaderRules, HeaderToAdd
from twistproxy.model.local_reply import LocalReplySettings, ResponseMapperSettings
from twistproxy.observe.log_filters import ByStatus, Comparison
from twistproxy.testing.data_plane import DataPlane, cluster, manager

REQUEST = b"GET /x HTTP/1.1\r\nHost: a\r\n%s\r\n"


def answered(settings: LocalReplySettings, lines: bytes = b"") -> tuple[str, list[str], str]:
    """Status line, fields but for date and server, and body of the answer when there is no host."""
    plane = DataPlane(replace(manager(), local_replies=settings), cluster(endpoints=()))
    client = plane.client()
    client.receive(REQUEST % lines)
    head, _, body = client.take().decode().partition("\r\n\r\n")
    first, *fields = head.split("\r\n")
    plane.finish()
    return first, [field for field in fields if not field.startswith(("date", "server"))], body


def test_the_first_mapper_that_matches_acts() -> None:
    mappers = (
        ResponseMapperSettings(ByStatus(Comparison("EQ", 404)), body=b"not this"),
        ResponseMapperSettings(
            ByStatus(Comparison("EQ", 503)),
            status=500,
            body=b"mapped",
            headers=HeaderRules((HeaderToAdd("x-was", "%RESPONSE_CODE%"),)),
        ),
        ResponseMapperSettings(ByStatus(Comparison("GE", 500)), body=b"nor this"),
    )
    form = LogFormat("%RESPONSE_CODE% %LOCAL_REPLY_BODY%", content_type=b"text/x")
    first, fields, body = answered(LocalReplySettings(mappers, form))
    assert (first, body) == ("HTTP/1.1 500 Internal Server Error", "500 mapped")
    assert fields == ["x-was: 503", "content-length: 10", "content-type: text/x"]


def test_grpc_clients_get_it_in_the_head() -> None:
    first, fields, body = answered(LocalReplySettings(), b"content-type: application/grpc\r\n")
    assert (first, body) == ("HTTP/1.1 200 OK", "")
    assert fields == [
        "content-type: application/grpc",
        "grpc-status: 14",
        "grpc-message: no healthy upstream",
        "content-length: 0",
    ]


def test_grpc_words() -> None:
    assert [status_of_http(status) for status in (400, 404, 503, 200)] == [13, 12, 14, 2]
    assert encoded_message("50% é\n".encode()) == b"50%25 %C3%A9%0A"
    kinds = (b"application/grpc", b"application/grpc+proto", b"application/grpc-web", b"text/plain")
    assert [is_grpc(HeaderMap([(b"content-type", kind)])) for kind in kinds] == [True, True, False, False]
