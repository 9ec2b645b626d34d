"""Both engines at once on some hundred odd paths: what comes out has to be the same, whatever it is."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from .harness import ENGINES, Proxy
from .origin import Exchange
from .settings import Config, bootstrap, cluster, listener, routes_to
from .wire import Client

pytestmark = pytest.mark.parity
OPTIONS: dict[str, Config] = {
    "plain": {},
    "normal": {"normalize_path": True},
    "merged": {"merge_slashes": True},
    "all": {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD",
    },
    "redirected": {"normalize_path": True, "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT"},
}
PIECES = r"""/ / // /./ /../ . .. ... %2e %2E . ;x ..; .; ;/ \ \..\ %2f %2F %5c %5C % %% %4 %34 %41 %7e %7E %zz
%c3%a9 %20
%25 %25%34 %00 a b A _ ~ - ! @ : , ( ' * [ ] | ^ " < > ` { } = & ? ?/../ # %3f %23 %ff .; %2e; ..%2f /%2e%2e/"""
REFERERS = r"""http://h/ http://h http://h/a?b#c http://u@h/ http://h:80 http://h:x about:blank /a a/b:c a:b a"b
https://h/a"b http://h_x/ //x mailto:x android-app://x http:// http:/x h://x? http://[::1]:8/ #x http://h:0/
http://h:65535/ http://h:65536/ http://h# http://h/# a%zz a|b http://h/a|b http://% x\y ?q=a/b:c ?q:c"""


def paths() -> list[str]:
    """The same at each run."""
    draw = random.Random(3986)
    pieces = PIECES.split()
    made = ["/" + "".join(draw.choices(pieces, k=draw.randint(1, 6))) for _ in range(220)]
    forms = ["http://b/a/../c", "http://b?x", "http://b/x#y", "http://b//c/%2e", "http://b/a?c#d"]
    return [*forms, *dict.fromkeys(made)]


def echo(exchange: Exchange) -> None:
    referer = exchange.seen["referer"]
    body = f"{exchange.seen.target} {referer}".encode("latin-1")
    exchange.read_body()
    exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    running = [Proxy(engine, tmp_path_factory.mktemp(engine)) for engine in ENGINES]
    try:
        for proxy in running:
            proxy.origin().default = echo
            listeners = [
                listener(name, proxy.port(name), routes_to("app"), **fields)
                for name, fields in OPTIONS.items()
            ]
            proxy.start(bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)]))
        yield running
    finally:
        for proxy in running:
            proxy.stop()


def answers(proxy: Proxy, name: str, requests: list[str]) -> list[str]:
    """Status, Location and what arrived, for each of the requests, on as few connections as can be."""
    found = []
    client: Client | None = None
    for request in requests:
        client = client or proxy.client(name)
        response = client.send(request).read()
        found.append(f"{response.status} {response['location']} {response.text}")
        if response["connection"] == "close":
            client.close()
            client = None
    if client is not None:
        client.close()
    return found


def differences(engines: list[Proxy], name: str, texts: list[str], requests: list[str]) -> list[str]:
    envoy, ours = (answers(proxy, name, requests) for proxy in engines)
    return [
        f"{text}: {theirs} | {mine}"
        for text, theirs, mine in zip(texts, envoy, ours, strict=True)
        if theirs != mine
    ]


@pytest.mark.parametrize("name", OPTIONS)
def test_paths(engines: list[Proxy], name: str) -> None:
    requests = [f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n" for path in paths()]
    assert differences(engines, name, paths(), requests) == []


def test_referers(engines: list[Proxy]) -> None:
    requests = [f"GET / HTTP/1.1\r\nhost: a\r\nreferer: {value}\r\n\r\n" for value in REFERERS.split()]
    assert differences(engines, "plain", REFERERS.split(), requests) == []
