"""Headers that are changed before anything else looks at them."""

from __future__ import annotations

import pytest

from .harness import Proxy
from .settings import Config, access_log, bootstrap, cluster, listener, read

pytestmark = pytest.mark.parity

VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - match: {prefix: "/", headers: [{name: x-early, string_match: {exact: direct}}]}
    direct_response: {status: 200, body: {inline_string: early}}
  - match: {prefix: "/"}
    route: {cluster: app}
"""
EXTENSIONS = """
- name: envoy.http.early_header_mutation.header_mutation
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
    mutations:
    - append: {header: {key: x-early, value: "%REQ(x-in)%"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - remove: x-gone
    - remove_on_match: {key_matcher: {prefix: x-secret-}}
    - append: {header: {key: x-forwarded-for, value: 9.9.9.9}}
    - append: {header: {key: x-request-id, value: early}, append_action: ADD_IF_ABSENT}
"""


def configure(proxy: Proxy) -> Config:
    main = listener(
        "main",
        proxy.port(),
        read(VIRTUAL_HOSTS),
        early_header_mutation_extensions=read(EXTENSIONS),
        access_log=[access_log(proxy.log().path, "%REQ(:PATH)%|%DOWNSTREAM_REMOTE_ADDRESS%\n")],
    )
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


def test_before_everything(proxy: Proxy) -> None:
    lines = "x-in: 1\r\nx-early: 2\r\nx-gone: 3\r\nx-secret-a: 4\r\nx-forwarded-for: 1.2.3.4\r\n"
    assert proxy.ask("/x?all", headers=lines).status == 200
    seen = proxy.origin().take()
    assert (seen["x-early"], seen["x-gone"], seen["x-secret-a"]) == ("1", None, None)
    assert (seen["x-forwarded-for"], seen["x-request-id"]) == ("1.2.3.4,9.9.9.9", "early")
    assert proxy.log().line("?all") == "/x?all|9.9.9.9:0"


def test_routes_see_it(proxy: Proxy) -> None:
    assert proxy.ask("/x", headers="x-in: direct\r\n").text == "early"
