"""Both engines at once on some hundred route configurations that a generator made: same requests, same outcome."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from .harness import ENGINES, Proxy
from .origin import Exchange
from .settings import Config, bootstrap, cluster, listener
from .wire import Client

pytestmark = pytest.mark.parity

HOSTS = 120
REQUESTS = 9
EXTENSIONS = "type.googleapis.com/envoy.extensions.path."

_PATHS = r"""/ /a /A /a/ /a/b /a/B/c /ab /b /b/a /a?x=1 /a?x /a?x=&y=2 /a/b?x=2&x=1 /?x=1#a /a;p /a;p/b /a/b;p?y=1 /a%2fb
/a%2Fb/c /a//b //a /a/b/c/d /a.b /a/b.html /b/1234 /b/12a /%61 /a/../b /x?a=/b /a*b /a/(b) /a$1 /a\1 /a/b?y=1?x=1
/a? /? /a/b/ /aa/bb /a/1/b/2 /a?X=1 /a?%78=1 /a?x=1&&y"""
PATHS = _PATHS.split()
PREFIXES = ["/", "/a", "/A", "/a/", "/a/b", "/b", "/a/b/", "/a?", "//"]
SEPARATED = ["/a", "/a/b", "/b", "/A"]
REGEXES = ["/a.*", "/[a-c]+", "/.*", "/b/[0-9]+", "/a/([^/]+)/?.*", "(?i)/A(/.*)?", "/a", ".*b", "/a/b|/b/a"]
TEMPLATES = ["/a/*", "/{x}/{y}", "/**", "/a/{x=**}", "/{x}/**", "/a/{x}.html", "/{x=a/*}/{y}"]
TEMPLATE_REWRITES = {"x": ["/r/{x}", "/{x}/{x}", "/q{x}"], "xy": ["/{y}/{x}", "/r-{y}"], "": ["/fixed"]}
PATTERNS = ["/", "a", "^/a", "^/([^/]+)(/.*)?$", "b$", "(a)(b)?", "[0-9]*", "^", "x*", "."]
REPLACEMENTS = ["", "/", "/n", "/\\1", "\\2/\\1", "\\0\\0", "/\\\\", "\\1/x\\2", "/%20", "?z=1", "/r?z"]
NEW_PREFIXES = ["/", "/n", "/n/", "/n?z=1", "/N/m"]
VALUES = ["", "1", "a", "A", "ab", "b,c", "12", "-5", " 7", "a_b", "9223372036854775807", "0x1", "+3"]
NAMES = ["x-a", "x-b"]


def echo(exchange: Exchange) -> None:
    seen = exchange.seen
    headers = [
        f"{key}={value}"
        for key, value in seen.headers
        if key.lower().startswith(("x-a", "x-b", "x-n", "host", "x-forwarded-h", "x-envoy-o"))
    ]
    body = f"{seen.target} {headers}".encode("latin-1")
    exchange.read_body()
    exchange.send(b"HTTP/1.1 200 OK\r\nx-b: up\r\nx-n: up\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


class Maker:
    """Makes configurations and requests, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def some(self, chance: float) -> bool:
        return self.draw.random() < chance

    def text_match(self) -> Config:
        pick = self.draw.choice
        kind = pick(["exact", "prefix", "suffix", "contains", "safe_regex"])
        if kind == "safe_regex":
            return {kind: {"regex": pick(["a.*", "[0-9]+", "a?", ".*b", "A|b", ".+"])}}
        found: Config = {kind: pick(["1", "a", "b", "ab", "A"])}
        if self.some(0.3):
            found["ignore_case"] = True
        return found

    def header(self) -> Config:
        pick = self.draw.choice
        found: Config = {
            "name": pick([*NAMES, *NAMES, "X-A", ":path", ":method", ":authority", "host", ":scheme"])
        }
        kind = pick(["string_match", "string_match", "range_match", "present_match", "none", "exact_match"])
        if kind == "string_match":
            found[kind] = self.text_match()
        elif kind == "range_match":
            found[kind] = {"start": pick([-10, 0, 7]), "end": pick([1, 7, 12, 13, 9223372036854775807])}
        elif kind == "present_match":
            found[kind] = self.some(0.6)
        elif kind == "exact_match":
            found[kind] = pick(["a", "", "b,c"])
        if self.some(0.25):
            found["invert_match"] = True
        if self.some(0.25):
            found["treat_missing_header_as_empty"] = True
        return found

    def parameter(self) -> Config:
        found: Config = {"name": self.draw.choice(["x", "y", "X", "a"])}
        kind = self.draw.choice(["string_match", "present_match", "none"])
        if kind == "string_match":
            found[kind] = self.text_match()
        elif kind == "present_match":
            found[kind] = self.some(0.6)
        return found

    def match(self) -> Config:
        pick = self.draw.choice
        kind = pick(["prefix", "prefix", "path", "safe_regex", "path_separated_prefix", "path_match_policy"])
        found: Config = {}
        if kind == "prefix":
            found[kind] = pick(PREFIXES)
        elif kind == "path":
            found[kind] = pick([path for path in PATHS if "?" not in path and "#" not in path])
        elif kind == "path_separated_prefix":
            found[kind] = pick(SEPARATED)
        elif kind == "safe_regex":
            found[kind] = {"regex": pick(REGEXES)}
        else:
            config = {
                "@type": EXTENSIONS + "match.uri_template.v3.UriTemplateMatchConfig",
                "path_template": pick(TEMPLATES),
            }
            found[kind] = {
                "name": "envoy.path.match.uri_template.uri_template_matcher",
                "typed_config": config,
            }
        if self.some(0.25):
            found["case_sensitive"] = False
        if self.some(0.4):
            found["headers"] = [self.header() for _ in range(self.draw.randint(1, 2))]
        if self.some(0.25):
            found["query_parameters"] = [self.parameter()]
        return found

    def substitution(self) -> Config:
        return {
            "pattern": {"regex": self.draw.choice(PATTERNS)},
            "substitution": self.draw.choice(REPLACEMENTS),
        }

    def forward(self, match: Config) -> Config:
        pick = self.draw.choice
        action: Config = {"cluster": "app"}
        template = match.get("path_match_policy", {}).get("typed_config", {}).get("path_template")
        kind = pick(["prefix", "regex", "template", "none"])
        if kind == "prefix" and template is None:
            action["prefix_rewrite"] = pick(NEW_PREFIXES)
        elif kind == "regex":
            action["regex_rewrite"] = self.substitution()
        elif kind == "template" and template is not None:
            known = "".join(name for name in "xy" if "{" + name in template)
            texts = [
                text
                for names, several in TEMPLATE_REWRITES.items()
                if set(names) <= set(known)
                for text in several
            ]
            config = {
                "@type": EXTENSIONS + "rewrite.uri_template.v3.UriTemplateRewriteConfig",
                "path_template_rewrite": pick(texts),
            }
            action["path_rewrite_policy"] = {
                "name": "envoy.path.rewrite.uri_template.uri_template_rewriter",
                "typed_config": config,
            }
        host = pick(["literal", "header", "regex", "none", "none"])
        if host == "literal":
            action["host_rewrite_literal"] = "other:81"
        elif host == "header":
            action["host_rewrite_header"] = pick(["x-a", "x-b"])
        elif host == "regex":
            action["host_rewrite_path_regex"] = {
                "pattern": {"regex": "^[^a-z]*([a-z]*).*$"},
                "substitution": "\\1.h",
            }
        if self.some(0.3):
            action["append_x_forwarded_host"] = True
        return {"route": action}

    def redirect(self, match: Config) -> Config:
        pick = self.draw.choice
        action: Config = {}
        if self.some(0.4):
            action["host_redirect"] = pick(["new", "new:81", "[::1]"])
        scheme = pick(["https", "text", "none"])
        if scheme == "https":
            action["https_redirect"] = True
        elif scheme == "text":
            action["scheme_redirect"] = pick(["http", "ftp", "HTTPS"])
        if self.some(0.3):
            action["port_redirect"] = pick([80, 443, 8080])
        kind = pick(["path", "prefix", "regex", "none"])
        if kind == "path":
            action["path_redirect"] = pick(["/n", "/n?z=1", "n"])
        elif kind == "prefix" and "path_match_policy" not in match:
            action["prefix_rewrite"] = pick(NEW_PREFIXES)
        elif kind == "regex":
            action["regex_rewrite"] = self.substitution()
        if self.some(0.3):
            action["strip_query"] = True
        if self.some(0.3):
            action["response_code"] = pick(["FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT"])
        return {"redirect": action}

    def rules(self, owner: Config) -> None:
        pick = self.draw.choice
        for side in ("request", "response"):
            if self.some(0.25):
                owner[f"{side}_headers_to_add"] = [
                    {
                        "header": {
                            "key": pick(["x-a", "X-B", "x-n"]),
                            "value": pick(
                                [
                                    "v",
                                    "w",
                                    "",
                                    "%REQ(x-a)%",
                                    "%REQ(x-b)%!",
                                    "%REQ(:path)%",
                                    "%RESP(x-n)%",
                                    "%REQ(x-envoy-original-path)%",
                                    "%%",
                                ]
                            ),
                        },
                        "append_action": pick(
                            [
                                "APPEND_IF_EXISTS_OR_ADD",
                                "ADD_IF_ABSENT",
                                "OVERWRITE_IF_EXISTS_OR_ADD",
                                "OVERWRITE_IF_EXISTS",
                            ]
                        ),
                        "keep_empty_value": self.some(0.3),
                    }
                    for _ in range(self.draw.randint(1, 3))
                ]
            if self.some(0.15):
                owner[f"{side}_headers_to_remove"] = [pick(["x-a", "X-b", "x-n"])]

    def route(self, number: int) -> Config:
        match = self.match()
        kind = self.draw.choice(["forward", "forward", "redirect", "direct"])
        if kind == "direct":
            action: Config = {
                "direct_response": {
                    "status": self.draw.choice([200, 201, 302, 404]),
                    "body": {"inline_string": f"route {number}"},
                }
            }
        else:
            action = self.forward(match) if kind == "forward" else self.redirect(match)
        found = {"match": match, **action}
        if self.some(0.5):
            self.rules(found)
        return found

    def host(self, number: int) -> Config:
        found: Config = {"name": f"v{number}", "domains": [f"h{number}.x", f"h{number}.x:80"]}
        # Few are tried one by one, many are looked up.
        found["routes"] = [self.route(at) for at in range(self.draw.choice([1, 3, 5, 14]))]
        if self.some(0.3):
            self.rules(found)
        return found

    def request(self, number: int) -> str:
        pick = self.draw.choice
        lines = [
            f"{pick(['GET', 'GET', 'OPTIONS'])} {pick(PATHS)} HTTP/1.1",
            f"host: h{number}.x{pick(['', '', ':80'])}",
        ]
        lines += [f"{pick(NAMES)}: {pick(VALUES)}" for _ in range(self.draw.randint(0, 3))]
        return "\r\n".join([*lines, "", ""])


#: `ROUTE_SEED` tries others.
SEED = int(os.environ.get("ROUTE_SEED", "3"))


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    running = [Proxy(engine, tmp_path_factory.mktemp(engine)) for engine in ENGINES]
    try:
        for proxy in running:
            proxy.origin().default = echo
            maker = Maker(SEED)
            hosts: list[Any] = [maker.host(number) for number in range(HOSTS)]
            listeners = [listener("main", proxy.port(), hosts)]
            proxy.start(bootstrap(proxy.port("admin"), listeners, [cluster("app", proxy.origin().port)]))
        yield running
    finally:
        for proxy in running:
            proxy.stop()


def answers(proxy: Proxy, requests: list[str]) -> list[str]:
    found = []
    client: Client | None = None
    for request in requests:
        client = client or proxy.client()
        response = client.send(request).read()
        headers = [
            f"{key}={value}"
            for key, value in response.headers
            if key.lower().startswith(("x-a", "x-b", "x-n", "location"))
        ]
        found.append(f"{response.status} {headers} {response.text}")
        if response["connection"] == "close":
            client.close()
            client = None
    if client is not None:
        client.close()
    return found


def test_generated_routes(engines: list[Proxy]) -> None:
    maker = Maker(SEED + 1)
    requests = [maker.request(number) for number in range(HOSTS) for _ in range(REQUESTS)]
    envoy, ours = (answers(proxy, requests) for proxy in engines)
    different = [
        (request, theirs, mine)
        for request, theirs, mine in zip(requests, envoy, ours, strict=True)
        if theirs != mine
    ]
    assert different == []
    # Most requests come to a route.
    assert sum("404" in one for one in envoy) < len(envoy) / 2
