"""The filter cors: preflights, headers of answers, and policies at several levels."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy
from .origin import text
from .settings import ROUTER, Config, access_log, bootstrap, cluster, listener
from .wire import Headers

pytestmark = pytest.mark.parity

TYPES = "type.googleapis.com/envoy.extensions.filters.http.cors.v3."
FORMAT = "path=%REQ(:PATH)%\tdetails=%RESPONSE_CODE_DETAILS%\n"


def policy(*origins: Config, **fields: Any) -> Config:
    config = {"@type": f"{TYPES}CorsPolicy", "allow_origin_string_match": list(origins), **fields}
    return {"typed_per_filter_config": {"cors": config}}


def share(numerator: int, key: str = "") -> Config:
    return {"default_value": {"numerator": numerator}, "runtime_key": key or "none.such"}


KNOWN = {"exact": "http://known"}
FULL = {
    "allow_methods": "GET, PUT",
    "allow_headers": "x-one",
    "expose_headers": "x-two",
    "max_age": "60",
    "allow_credentials": True,
}

ROUTES: dict[str, Config] = {
    "/none": {},
    "/full": policy(KNOWN, **FULL, allow_private_network_access=True),
    "/bare": policy(KNOWN),
    "/any": policy({"safe_regex": {"regex": ".*"}}),
    "/suffix": policy({"suffix": ".known"}, {"exact": "http://other"}, allow_credentials=False),
    "/star": policy({"exact": "*"}),
    "/every": policy({"exact": "http://other"}, {"prefix": "*"}, allow_credentials=True),
    "/off": policy(KNOWN, filter_enabled=share(0)),
    "/shadow": policy(KNOWN, filter_enabled=share(0), shadow_enabled=share(100)),
    "/switched": policy(KNOWN, filter_enabled=share(100, "cors.enabled")),
    "/kept": policy(KNOWN, forward_not_matching_preflights=False),
}


def configure(proxy: Proxy) -> Config:
    def routes(table: dict[str, Config]) -> list[Config]:
        return [
            {"match": {"prefix": path}, "route": {"cluster": "app"}, **said} for path, said in table.items()
        ]

    filters = [
        {"name": "cors", "typed_config": {"@type": f"{TYPES}Cors"}},
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    plain = {"name": "plain", "domains": ["*"], "routes": routes(ROUTES)}
    outer = policy({"exact": "http://outer"}, **FULL)
    inner = {"/partly": policy(KNOWN, max_age="5"), "/not_said": {}}
    host = {"name": "outer", "domains": ["outer"], "routes": routes(inner), **outer}
    log = [access_log(proxy.log().path, FORMAT)]
    main = listener("main", proxy.port(), [plain, host], http_filters=filters, access_log=log)
    layers = [{"name": "s", "static_layer": {"cors.enabled": 0}}]
    return bootstrap(
        proxy.port("admin"),
        [main],
        [cluster("app", proxy.origin().port)],
        layered_runtime={"layers": layers},
    )


def cors_headers(headers: Headers) -> dict[str, str]:
    """Those of CORS, without their common beginning."""
    start = "access-control-"
    return {name.removeprefix(start): value for name, value in headers if name.startswith(start)}


ALLOW, CREDENTIALS = "allow-origin", "allow-credentials"
SIMPLE = [
    ("/none", "http://known", "app.test", {}),
    (
        "/full",
        "http://known",
        "app.test",
        {ALLOW: "http://known", CREDENTIALS: "true", "expose-headers": "x-two"},
    ),
    ("/full", "http://unknown", "app.test", {}),
    ("/full", "", "app.test", {}),
    ("/bare", "http://known", "app.test", {ALLOW: "http://known"}),
    ("/bare", "http://KNOWN", "app.test", {}),
    ("/any", "http://whoever", "app.test", {ALLOW: "http://whoever"}),
    ("/suffix", "http://well.known", "app.test", {ALLOW: "http://well.known"}),
    ("/suffix", "http://other", "app.test", {ALLOW: "http://other"}),
    ("/star", "http://whoever", "app.test", {ALLOW: "http://whoever"}),
    ("/every", "http://whoever", "app.test", {ALLOW: "http://whoever", CREDENTIALS: "true"}),
    ("/off", "http://known", "app.test", {}),
    ("/shadow", "http://known", "app.test", {}),
    ("/switched", "http://known", "app.test", {}),
    (
        "/not_said",
        "http://outer",
        "outer",
        {ALLOW: "http://outer", CREDENTIALS: "true", "expose-headers": "x-two"},
    ),
    ("/partly", "http://outer", "outer", {}),
    (
        "/partly",
        "http://known",
        "outer",
        {ALLOW: "http://known", CREDENTIALS: "true", "expose-headers": "x-two"},
    ),
]


@pytest.mark.parametrize(("path", "origin", "host", "expected"), SIMPLE)
def test_answers(proxy: Proxy, path: str, origin: str, host: str, expected: dict[str, str]) -> None:
    headers = f"origin: {origin}\r\n" if origin else ""
    response = proxy.ask(path, headers=headers, host=host)
    assert response.status == 200
    assert cors_headers(response.headers) == expected
    assert proxy.origin().take()["origin"] == (origin or None)


def test_what_the_upstream_says_is_replaced(proxy: Proxy) -> None:
    said = "access-control-allow-origin: *\r\naccess-control-expose-headers: x-own\r\nvary: x\r\n"
    proxy.origin().on("/full", text("ok", headers=said))
    response = proxy.ask("/full", headers="origin: http://known\r\n")
    found = cors_headers(response.headers)
    assert found == {ALLOW: "http://known", CREDENTIALS: "true", "expose-headers": "x-two"}
    assert response["vary"] == "x"


WHOLE = {
    ALLOW: "http://known",
    CREDENTIALS: "true",
    "allow-methods": "GET, PUT",
    "allow-headers": "x-one",
    "max-age": "60",
    "expose-headers": "x-two",
}
PREFLIGHTS = [
    ("/full", "http://known", "app.test", "", WHOLE),
    (
        "/full",
        "http://known",
        "app.test",
        "access-control-request-private-network: true\r\n",
        {**WHOLE, "allow-private-network": "true"},
    ),
    ("/bare", "http://known", "app.test", "", {ALLOW: "http://known"}),
    ("/kept", "http://unknown", "app.test", "", {}),
    (
        "/partly",
        "http://known",
        "outer",
        "",
        {**WHOLE, "max-age": "5"},
    ),
]


@pytest.mark.parametrize(("path", "origin", "host", "more", "expected"), PREFLIGHTS)
def test_preflights(
    proxy: Proxy, path: str, origin: str, host: str, more: str, expected: dict[str, str]
) -> None:
    word = f"{path}?{len(more)}{origin}"
    headers = f"origin: {origin}\r\naccess-control-request-method: PUT\r\n{more}"
    response = proxy.ask(word, method="OPTIONS", headers=headers, host=host)
    assert (response.status, response.body) == (200, b"")
    assert cors_headers(response.headers) == expected
    assert proxy.origin().nothing(0.03)
    assert proxy.log().fields(word)["details"] == "cors_response"


@pytest.mark.parametrize(
    ("path", "origin", "asks", "expected"),
    [
        ("/full", "http://unknown", True, {}),
        (
            "/full",
            "http://known",
            False,
            {ALLOW: "http://known", CREDENTIALS: "true", "expose-headers": "x-two"},
        ),
        ("/none", "http://known", True, {}),
        ("/off", "http://known", True, {}),
    ],
)
def test_what_is_no_preflight_goes_on(
    proxy: Proxy, path: str, origin: str, asks: bool, expected: dict[str, str]
) -> None:
    headers = f"origin: {origin}\r\n" + ("access-control-request-method: PUT\r\n" if asks else "")
    response = proxy.ask(path, method="OPTIONS", headers=headers)
    assert proxy.origin().take().method == "OPTIONS"
    assert cors_headers(response.headers) == expected


def test_statistics(proxy: Proxy) -> None:
    names = ("http.main.cors.origin_valid", "http.main.cors.origin_invalid")
    before = [proxy.stat(name) for name in names]
    for path in ("/full", "/off", "/shadow"):
        for origin in ("http://known", "http://unknown"):
            proxy.ask(path, headers=f"origin: {origin}\r\n")
    assert [proxy.stat(name) - old for name, old in zip(names, before)] == [2, 2]
