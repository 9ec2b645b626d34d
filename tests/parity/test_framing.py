"""Malformed and ambiguous requests: which are refused, how, and that nothing dirty reaches the upstream."""

from __future__ import annotations

import re
import time

import pytest

from .framing_cases import CASES, Case
from .harness import Proxy
from .origin import Origin
from .settings import Config, bootstrap, cluster, listener, routes_to
from .wire import Client, Ended

pytestmark = pytest.mark.parity
FIRST = re.compile(r"[A-Z]+ [!-~]+ HTTP/1\.1")
FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9a-z-]+): ?([\t -~\x80-\xff]*)")


def configure(proxy: Proxy) -> Config:
    main = listener("main", proxy.port(), routes_to("app"), delayed_close_timeout="0.02s")
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


def dirt(head: bytes) -> list[str]:
    """What is wrong with a request head that reached the upstream, by RFC 9112 read strictly."""
    first, *lines = head.decode("latin-1").split("\r\n")
    found = [] if FIRST.fullmatch(first) else [f"request line {first!r}"]
    names: list[str] = []
    for line in lines:
        field = FIELD.fullmatch(line)
        if not field:
            found.append(f"line {line!r}")
            continue
        names.append(field[1])
        if field[1] == "content-length" and not field[2].isdecimal():
            found.append(f"length {field[2]!r}")
        if field[1] == "transfer-encoding" and field[2] != "chunked":
            found.append(f"coding {field[2]!r}")
    if names.count("host") != 1:
        found.append(f"{names.count('host')} hosts")
    if names.count("content-length") + names.count("transfer-encoding") > 1:
        found.append("ambiguous length")
    return found


def answers(client: Client, count: int) -> list[int]:
    """The statuses of up to so many answers; fewer if the connection ends or stays silent."""
    statuses: list[int] = []
    while len(statuses) < count:
        try:
            response = client.read()
        except (Ended, TimeoutError):
            break
        statuses.append(response.status)
    return statuses


def reached(origin: Origin) -> tuple[int, list[str]]:
    """How many whole requests reached the upstream, and what was wrong with any that did.

    A request that is refused within its body may have begun there; it must not become whole.
    """
    time.sleep(0.005)
    whole, found = 0, []
    while not origin.queue.empty():
        seen = origin.take()
        whole += seen.whole
        found += dirt(seen.head)
    return whole, found


def outcome(proxy: Proxy, case: Case) -> tuple[str, list[str]]:
    """What happened, in the words of the table, and the dirt that reached the upstream."""
    waits = case.outcome.startswith("wait")
    expected = len(re.findall(r"\b\d{3}\b", case.outcome))
    with proxy.client(timeout=0.15 if waits else 10.0) as client:
        client.send(case.data)
        statuses = answers(client, expected or 1)
        closing = "close" in f"{case.outcome} {case.stricter if statuses[-1:] >= [400] else ''}"
        closed = client.ended(1.5 if closing else 0.03)
        assert not client.buffer, f"unexpected bytes after {statuses}: {client.buffer!r}"
        count, found = reached(proxy.origin())
    words = [str(status) for status in statuses] or ([] if closed else ["wait"])
    words += ["close"] if closed else []
    words += [f"up={count}"] if count != statuses.count(200) else []
    return " ".join(words), found


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_outcome(proxy: Proxy, case: Case) -> None:
    found, dirty = outcome(proxy, case)
    assert dirty == []
    proxy.may_be_stricter(found, at_envoy=case.outcome, stricter=case.stricter or case.outcome)


def test_table_is_large_and_its_names_differ() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 120


@pytest.mark.parametrize("body", [b"", b"x", b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"])
def test_refusal(proxy: Proxy, body: bytes) -> None:
    with proxy.client() as client:
        response = client.send(b"GET / HTTP/1.1\r\nhost: a\r\nx a: b\r\n\r\n" + body).read()
        assert (response.status, response.text) == (400, "Bad Request")
        assert response.normal == [
            ("connection", "close"),
            ("content-length", "11"),
            ("content-type", "text/plain"),
            ("date", "DATE"),
            ("server", "SERVER"),
        ]
        assert client.ended()
    assert proxy.origin().nothing(0.02)


def test_refusals_are_counted(proxy: Proxy) -> None:
    before = proxy.stat("http.main.downstream_cx_protocol_error")
    with proxy.client() as client:
        client.send("GET / HTTP/1.1\r\nx a: b\r\n\r\n").read()
    assert proxy.stat("http.main.downstream_cx_protocol_error") == before + 1
