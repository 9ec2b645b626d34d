"""Upstreams that answer early, answer badly or go away: what the client sees and what is logged."""

from __future__ import annotations

import time

import pytest

from .harness import Proxy
from .origin import Exchange, raw, silent
from .settings import Config, access_log, bootstrap, cluster, listener, routes_to
from .wire import Client, Ended, Response, request_bytes
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
OK = "HTTP/1.1 200 OK\r\n"
FORMAT = (
    "id=%REQ(:PATH)%\tcode=%RESPONSE_CODE%\tflags=%RESPONSE_FLAGS%\tdetails=%RESPONSE_CODE_DETAILS%"
    "\tsent=%BYTES_SENT%\tgot=%BYTES_RECEIVED%\n"
)
RESET = "upstream connect error or disconnect/reset before headers. reset reason: "


def configure(proxy: Proxy) -> Config:
    log = access_log(proxy.log().path, FORMAT)
    main = listener("main", proxy.port(), routes_to("app"), access_log=[log])
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


def logged(proxy: Proxy, word: str) -> tuple[str, str, str]:
    line = proxy.log().fields(word)
    return line["code"], line["flags"], line["details"]


TEXT_HEADERS = [("content-type", "text/plain"), ("date", "DATE"), ("server", "SERVER")]
TERMINATED = "upstream_reset_before_response_started{connection_termination}"
PROTOCOL = "upstream_reset_before_response_started{protocol_error}"

# name: (pieces, then, status, flag, details, body)
BEFORE_HEAD = {
    "closed": ((), "close", "UC", TERMINATED),
    "reset": ((), "reset", "UC", TERMINATED),
    "closed-in-status-line": (("HTTP/1.1 20",), "close", "UPE", PROTOCOL),
    "closed-in-head": ((OK, "content-le"), "close", "UPE", PROTOCOL),
    "reset-in-head": ((OK, "content-le"), "reset", "UPE", PROTOCOL),
    "garbage": (("\x16\x03\x01\x02\x00",), "keep", "UPE", PROTOCOL),
    "not-http": (("SSH-2.0-OpenSSH_9\r\n",), "keep", "UPE", PROTOCOL),
    "http-2": (("HTTP/2 200 OK\r\n\r\n",), "keep", "UPE", PROTOCOL),
    "status-of-letters": (("HTTP/1.1 abc OK\r\n\r\n",), "keep", "UPE", PROTOCOL),
    "bad-header-name": ((OK, "x a: 1\r\ncontent-length: 0\r\n\r\n"), "keep", "UPE", PROTOCOL),
    "space-before-colon": ((OK, "x-a : 1\r\ncontent-length: 0\r\n\r\n"), "keep", "UPE", PROTOCOL),
    "no-colon": ((OK, "x-a\r\ncontent-length: 0\r\n\r\n"), "keep", "UPE", PROTOCOL),
    "nul-in-value": ((OK, "x-a: a\0b\r\ncontent-length: 0\r\n\r\n"), "keep", "UPE", PROTOCOL),
    "two-lengths": ((OK, "content-length: 1\r\ncontent-length: 2\r\n\r\nab"), "keep", "UPE", PROTOCOL),
    "bad-length": ((OK, "content-length: 1x\r\n\r\na"), "keep", "UPE", PROTOCOL),
    "negative-length": ((OK, "content-length: -1\r\n\r\n"), "keep", "UPE", PROTOCOL),
    "length-and-chunked": (
        (OK, "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        "keep",
        "UPE",
        PROTOCOL,
    ),
    "unknown-coding": ((OK, "transfer-encoding: foo\r\n\r\n"), "keep", "UPE", PROTOCOL),
    "header-too-large": ((OK, "x-a: " + "a" * 90000 + "\r\n\r\n"), "keep", "UPE", PROTOCOL),
    "too-many-headers": ((OK, "x-a: a\r\n" * 150, "\r\n"), "keep", "UPE", PROTOCOL),
}


@pytest.mark.parametrize("name", BEFORE_HEAD)
def test_before_the_head_is_whole(proxy: Proxy, workers: Workers, name: str) -> None:
    pieces, then, _, _ = BEFORE_HEAD[name]
    proxy.origin().on("/b", raw(*pieces, then=then))
    for number, client in enumerate(workers.new_clients()):
        check_before_the_head(proxy, client, name, f"{name}-{number}")


def check_before_the_head(proxy: Proxy, client: Client, name: str, word: str) -> None:
    """What the client gets, what is logged, and that the connection to the upstream is ended."""
    _, _, flag, details = BEFORE_HEAD[name]
    with client:
        response = client.send(f"GET /b?{word} HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert client.still_open()
    status, reason = (502, "protocol error") if flag == "UPE" else (503, "connection termination")
    assert (response.status, response.text) == (status, RESET + reason)
    assert response.normal == [("content-length", str(len(response.text))), *TEXT_HEADERS]
    code, flags, said = logged(proxy, f"?{word}\t")
    assert (code, flags) == (str(status), flag)
    assert said.startswith(details.rstrip("}"))
    assert proxy.origin().take().connection_closed()


# name: (pieces, then, what reaches the client of the body, flag)
MID_BODY = {
    "length-closed": (("content-length: 10\r\n\r\nabc",), "close", "UPE"),
    "length-reset": (("content-length: 10\r\n\r\nabc",), "reset", "UPE"),
    "chunk-closed": (("transfer-encoding: chunked\r\n\r\n5\r\nabc",), "close", "UPE"),
    "between-chunks-closed": (("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",), "close", "UPE"),
    "chunk-reset": (("transfer-encoding: chunked\r\n\r\n5\r\nabc",), "reset", "UPE"),
    "bad-chunk-size": (("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", 0.03, "zz\r\n"), "keep", "UPE"),
    "negative-chunk-size": (
        ("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", 0.03, "-1\r\n"),
        "keep",
        "UPE",
    ),
    "huge-chunk-size": (
        ("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", 0.03, "ffffffffffffffffff\r\n"),
        "keep",
        "UPE",
    ),
}


@pytest.mark.parametrize("name", MID_BODY)
def test_within_the_body(proxy: Proxy, workers: Workers, name: str) -> None:
    pieces, then, flag = MID_BODY[name]
    proxy.origin().on("/m", raw(OK, *pieces, then=then))
    for number, client in enumerate(workers.new_clients()):
        with client:
            client.send(f"GET /m?{name}-{number} HTTP/1.1\r\nhost: a\r\n\r\n")
            with pytest.raises(Ended):
                client.read()
        code, flags, _ = logged(proxy, f"?{name}-{number}\t")
        assert (code, flags) == ("200", flag)


def test_status_of_two_digits(proxy: Proxy) -> None:
    """Envoy relays it; RFC 9112 section 4 has three digits."""
    proxy.origin().on("/two", raw("HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n"))
    proxy.may_be_stricter(proxy.ask("/two").status, at_envoy=20, stricter=502)


def test_large_head(proxy: Proxy) -> None:
    proxy.origin().on("/large", raw(OK, "x-a: " + "a" * 70000, "\r\ncontent-length: 2\r\n\r\nok"))
    assert len(proxy.ask("/large")["x-a"] or "") == 70000


def test_body_to_the_end_of_a_reset_connection_counts_as_whole(proxy: Proxy) -> None:
    proxy.origin().on("/end", raw(OK, "\r\nabc", then="reset"))
    assert proxy.ask("/end").text == "abc"


def test_next_request_after_a_cut_answer_is_served(proxy: Proxy, workers: Workers) -> None:
    proxy.origin().on("/m", raw(OK, "content-length: 10\r\n\r\nabc", then="close"))
    one, other = workers.client(0), workers.client(0)
    with one, other:
        one.send("GET /m HTTP/1.1\r\nhost: a\r\n\r\n")
        with pytest.raises(Ended):
            one.read()
        assert other.send("GET /after HTTP/1.1\r\nhost: a\r\n\r\n").read().status == 200


def early(proxy: Proxy, answer: str, then: str, sent: str, name: str) -> Response:
    proxy.origin().on("/early", raw(answer, then=then, early=True))
    with proxy.client() as client:
        client.send(f"POST /early?{name} HTTP/1.1\r\nhost: a\r\n", sent)
        response = client.read()
        assert client.ended()
    return response


def test_early_answer(proxy: Proxy) -> None:
    """An answer before the request's end: relayed whole, then both connections are given up."""
    answer = "HTTP/1.1 413 Too Big\r\ncontent-length: 3\r\n\r\nbig"
    response = early(proxy, answer, "keep", "content-length: 100\r\n\r\nabc", "plain")
    assert (response.status, response.text) == (413, "big")
    assert response["connection"] == "close"
    assert proxy.origin().take().connection_closed()
    assert logged(proxy, "?plain\t") == ("413", "-", "via_upstream")


def test_early_answer_and_close(proxy: Proxy) -> None:
    answer = "HTTP/1.1 413 Too Big\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig"
    response = early(proxy, answer, "close", "content-length: 100\r\n\r\nabc", "close")
    assert (response.status, response.text) == (413, "big")


def test_early_answer_while_the_client_goes_on(proxy: Proxy) -> None:
    """The rest of the body still goes to the upstream if it comes before the answer's end."""

    def answer(exchange: Exchange) -> None:
        exchange.send(OK + "content-length: 6\r\n\r\nabc")
        exchange.read_body()
        exchange.send("def")

    proxy.origin().on("/both", answer)
    with proxy.client() as client:
        client.send("POST /both HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n123")
        head = client.read_head()
        assert (head.status, head["connection"]) == (200, "close")
        client.send("456")
        while len(client.buffer) < 6:
            assert client.read_some()
        assert client.buffer == b"abcdef"
    assert proxy.origin().take().wait().body == b"123456"


def test_answer_longer_than_its_length(proxy: Proxy) -> None:
    proxy.origin().on("/long", raw(OK, "content-length: 3\r\n\r\nabcdef"))
    with proxy.client() as client:
        response = client.send("GET /long HTTP/1.1\r\nhost: a\r\n\r\n").read()
        assert response.text == "abc"
        assert client.still_open()
    assert proxy.origin().take().connection_closed()


def test_second_answer_is_not_given_to_the_next_request(proxy: Proxy) -> None:
    one = OK + "content-length: 3\r\n\r\none"
    proxy.origin().on("/two", raw(one + OK + "content-length: 3\r\n\r\ntwo"))
    with proxy.client() as client:
        assert client.send("GET /two HTTP/1.1\r\nhost: a\r\n\r\n").read().text == "one"
        assert client.send("GET /next HTTP/1.1\r\nhost: a\r\n\r\n").read().text == "hello"


def test_bytes_on_an_idle_upstream_connection_close_it(proxy: Proxy, workers: Workers) -> None:
    proxy.origin().on("/idle", raw(OK, "content-length: 3\r\n\r\nabc", 0.05, "HTTP/1.1 200 OK\r\n\r\n"))
    for client in workers.new_clients():
        assert client.send(request_bytes("/idle")).read().text == "abc"
        assert proxy.origin().take().connection_closed()
        assert client.send(request_bytes("/next")).read().text == "hello"
        proxy.origin().take()
        client.close()


def test_upstream_closing_an_idle_connection_hurts_nobody(proxy: Proxy, workers: Workers) -> None:
    proxy.origin().on("/bye", raw(OK, "content-length: 3\r\n\r\nabc", 0.02, then="close"))
    clients = workers.new_clients()
    for _ in range(5):
        for client in clients:
            assert client.send(request_bytes("/bye")).read().text == "abc"
        time.sleep(0.06)


def test_silent_upstream_is_left_when_the_client_leaves(proxy: Proxy, workers: Workers) -> None:
    proxy.origin().on("/silent", silent())
    for number, client in enumerate(workers.new_clients()):
        client.send(request_bytes(f"/silent?left-{number}"))
        seen = proxy.origin().take()
        client.close()
        assert seen.connection_closed()
        assert logged(proxy, f"?left-{number}\t") == ("0", "DC", "downstream_remote_disconnect")


def test_slow_head_in_pieces(proxy: Proxy) -> None:
    pieces: list[str | float] = []
    for byte in OK + "content-length: 2\r\nx-a: b\r\n\r\nok":
        pieces += [byte, 0.001]
    proxy.origin().on("/pieces", raw(*pieces))
    response = proxy.ask("/pieces")
    assert (response.text, response["x-a"]) == ("ok", "b")


# Lax forms that are relayed, re-encoded.
TAKEN = {
    "bare-lf": (OK.replace("\r\n", "\n") + "x-a: b\ncontent-length: 2\n\nok", "b"),
    "no-reason": ("HTTP/1.1 200\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok", "b"),
    "folded": (OK + "x-a: b\r\n c\r\ncontent-length: 2\r\n\r\nok", "b c"),
    "tabs": (OK + "x-a:\t\tb\t\r\ncontent-length: 2\r\n\r\nok", "b"),
    "high-bytes": (OK + "x-a: \xe9\r\ncontent-length: 2\r\n\r\nok", "\xe9"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_lax_answers_are_taken(proxy: Proxy, name: str) -> None:
    answer, value = TAKEN[name]
    proxy.origin().on("/lax", raw(answer))
    response = proxy.ask("/lax")
    assert (response.status, response.text, response["x-a"]) == (200, "ok", value)
