"""The fields `cors` of virtual hosts and routes, which are deprecated and in many files that people have."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import ROUTER, Config, bootstrap, cluster, listener
from .test_cors_filter import cors_headers, policy

pytestmark = pytest.mark.parity

CORS = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"
OUTER = {
    "allow_origin_string_match": [{"exact": "http://outer"}],
    "allow_methods": "GET, PUT",
    "expose_headers": "x-outer",
    "max_age": "60",
}
INNER = {"allow_origin_string_match": [{"exact": "http://inner"}], "expose_headers": "x-inner"}


def configure(proxy: Proxy) -> Config:
    routes = [
        {"match": {"prefix": "/own"}, "route": {"cluster": "app", "cors": INNER}},
        {"match": {"prefix": "/off"}, "route": {"cluster": "app", "cors": {"filter_enabled": OFF}}},
        {"match": {"prefix": "/typed"}, "route": {"cluster": "app", "cors": INNER}, **policy(TYPED)},
        {"match": {"prefix": "/answer"}, "direct_response": {"status": 200}},
        {"match": {"prefix": "/away"}, "redirect": {"path_redirect": "/x"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "app"}},
    ]
    hosts = [
        {"name": "all", "domains": ["*"], "routes": routes, "cors": OUTER},
        {"name": "typed", "domains": ["typed"], "routes": routes[:1], "cors": OUTER, **policy(TYPED)},
    ]
    filters = [
        {"name": "cors", "typed_config": {"@type": CORS}},
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    return bootstrap(
        proxy.port("admin"),
        [
            listener("main", proxy.port(), hosts, http_filters=filters),
            listener("bare", proxy.port("bare"), hosts[:1]),
        ],
        [cluster("app", proxy.origin().port)],
    )


OFF = {"default_value": {"numerator": 0}}
TYPED = {"exact": "http://typed"}
SAID = {"allow-origin": "http://outer", "expose-headers": "x-outer"}


@pytest.mark.parametrize(
    ("path", "host", "origin", "expected"),
    [
        ("/", "a", "http://outer", SAID),
        ("/", "a", "http://inner", {}),
        ("/own", "a", "http://inner", {"allow-origin": "http://inner", "expose-headers": "x-inner"}),
        ("/own", "a", "http://outer", {}),
        ("/off", "a", "http://outer", {}),
        ("/typed", "a", "http://typed", {"allow-origin": "http://typed"}),
        ("/typed", "a", "http://inner", {}),
        ("/typed", "a", "http://outer", {}),
        ("/own", "typed", "http://typed", {"allow-origin": "http://typed"}),
        ("/own", "typed", "http://inner", {}),
        ("/answer", "a", "http://outer", {}),
        ("/away", "a", "http://outer", {}),
    ],
)
def test_policy(proxy: Proxy, path: str, host: str, origin: str, expected: dict[str, str]) -> None:
    response = proxy.ask(path, headers=f"origin: {origin}\r\n", host=host)
    assert cors_headers(response.headers) == expected


def test_preflight(proxy: Proxy) -> None:
    headers = "origin: http://inner\r\naccess-control-request-method: PUT\r\n"
    response = proxy.ask("/own", method="OPTIONS", headers=headers)
    assert response.status == 200
    assert cors_headers(response.headers) == {
        "allow-origin": "http://inner",
        "allow-methods": "GET, PUT",
        "max-age": "60",
        "expose-headers": "x-inner",
    }


def test_without_the_filter(proxy: Proxy) -> None:
    response = proxy.ask("/own", "bare", headers="origin: http://inner\r\n")
    assert response.status == 200
    assert cors_headers(response.headers) == {}
