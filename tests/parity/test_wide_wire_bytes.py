"""Operators of access log formats that count bytes on the wire."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .harness import Proxy, refused_paths
from .operators import logged_values, operator_log
from .settings import Config, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity

# operator: pattern of its value for the request in `operators.py`
OPERATORS = {
    "%UPSTREAM_WIRE_BYTES_SENT%": r"\d{2,3}",
    "%UPSTREAM_WIRE_BYTES_RECEIVED%": r"\d{2,3}",
    "%UPSTREAM_HEADER_BYTES_SENT%": r"\d{2,3}",
    "%UPSTREAM_HEADER_BYTES_RECEIVED%": r"\d{2,3}",
    "%DOWNSTREAM_WIRE_BYTES_RECEIVED%": r"\d{2,3}",
    "%DOWNSTREAM_WIRE_BYTES_SENT%": r"\d{2,3}",
    "%DOWNSTREAM_HEADER_BYTES_RECEIVED%": r"\d{2,3}",
    "%DOWNSTREAM_HEADER_BYTES_SENT%": r"\d{2,3}",
}
FORMAT = "log_format.text_format_source"
REFUSED = {
    f"static_resources.listeners[0].filter_chains[0].filters[0].typed_config.access_log[0].typed_config.{FORMAT}"
}


def configure(proxy: Proxy, *operators: str) -> Config:
    log = operator_log(proxy, {each: OPERATORS[each] for each in operators or OPERATORS})
    main = listener("operators", proxy.port("operators"), routes_to("app"), access_log=[log])
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


@pytest.mark.parametrize("engine", ["twistproxy"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_refused(engine: str, operator: str, tmp_path: Path) -> None:
    assert refused_paths(lambda proxy: configure(proxy, operator), tmp_path) == REFUSED


@pytest.fixture(scope="module")
def values(proxy: Proxy) -> dict[str, tuple[str, str]]:
    return logged_values(proxy, OPERATORS)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator(values: dict[str, tuple[str, str]], operator: str) -> None:
    value, pattern = values[operator]
    assert re.fullmatch(pattern, value), f"{value!r} is not of the form {pattern!r}"
