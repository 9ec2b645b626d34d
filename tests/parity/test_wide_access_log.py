"""Operators of access log formats beyond the usual ones."""

from __future__ import annotations

import re

import pytest

from .harness import Proxy
from .operators import START, UUID, logged_values, operator_log
from .settings import Config, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity

# operator: pattern of its value for the request in `operators.py`
OPERATORS = {
    "%RESPONSE_FLAGS_LONG%": "-",
    "%REQUEST_TX_DURATION%": r"\d{1,4}",
    "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%": r"127\.0\.0\.1",
    "%UPSTREAM_REMOTE_PORT%": "ORIGIN",
    "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%": r"127\.0\.0\.1",
    "%UPSTREAM_LOCAL_PORT%": r"\d+",
    "%UPSTREAM_PROTOCOL%": "HTTP/1.1",
    "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%": "-",
    "%REQUESTED_SERVER_NAME%": "-",
    "%DOWNSTREAM_TLS_VERSION%": "-",
    "%VIRTUAL_CLUSTER_NAME%": "-",
    "%CONNECTION_ID%": r"\d+",
    "%STREAM_ID%": UUID,
    "%GRPC_STATUS%": "-",
    "%GRPC_STATUS_NUMBER%": "-",
    "%EMIT_TIME%": START,
    "%DYNAMIC_METADATA(a:b)%": "-",
    "%FILTER_STATE(a)%": "-",
    "%FILTER_CHAIN_NAME%": "-",
    "%ACCESS_LOG_TYPE%": "DownstreamEnd",
    "%PATH(NQ)%": "/log/NUMBER",
    "%PATH(WQ)%": r"/log/NUMBER\?q=1",
    "%QUERY_PARAM(q)%": "1",
    "%QUERY_PARAMS%": "q=1",
}


def configure(proxy: Proxy) -> Config:
    main = listener(
        "operators", proxy.port("operators"), routes_to("app"), access_log=[operator_log(proxy, OPERATORS)]
    )
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


@pytest.fixture(scope="module")
def values(proxy: Proxy) -> dict[str, tuple[str, str]]:
    return logged_values(proxy, OPERATORS)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator(values: dict[str, tuple[str, str]], operator: str) -> None:
    value, pattern = values[operator]
    assert re.fullmatch(pattern, value), f"{value!r} is not of the form {pattern!r}"
