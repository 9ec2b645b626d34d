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
    "%CUSTOM_FLAGS%%LOCAL_REPLY_BODY%%DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID%": "",
    "%DOWNSTREAM_CX_RTT%%BYTES_RETRANSMITTED%%PACKETS_RETRANSMITTED%": "000",
    "%DOWNSTREAM_DETECTED_CLOSE_TYPE%%UPSTREAM_DETECTED_CLOSE_TYPE%": "NormalNormal",
    "%TRACE_ID%%SPAN_ID%%UPSTREAM_TLS_GROUP%%TLS_JA3_FINGERPRINT%": "----",
    "%DOWNSTREAM_PEER_CERT_V_START(%s)%%UPSTREAM_PEER_CERT_V_END%": "--",
    "%COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)%": r"\d{1,6}",
    "%COMMON_DURATION(DS_RX_BEG:US_CX_BEG:ns)%": r"\d+",
    "%COMMON_DURATION(DS_RX_BEG:US_CX_END:us)%": r"\d+",
    "%COMMON_DURATION(US_CX_BEG:US_HS_END)%": "-",
    "%COMMON_DURATION(US_TX_BEG:US_TX_END:us)%": r"\d+",
    "%COMMON_DURATION(US_RX_BEG:US_RX_END:us)%": r"\d+",
    "%COMMON_DURATION(DS_TX_BEG:DS_TX_END:us)%": r"\d+",
    "%COMMON_DURATION(DS_TX_END:DS_RX_BEG)%%COMMON_DURATION(no:such)%": "--",
    "%UPSTREAM_CONNECTION_POOL_READY_DURATION%": r"\d{1,3}",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)%": "127\\.0\\.0\\.0/16",
    "%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(99)%": "127\\.0\\.0\\.1/32",
    "%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%": "via_upstream",
    "%QUERY_PARAMS(DECODED)%": "q=1",
    "%REQUESTED_SERVER_NAME(HOST_FIRST)%": "log.test:81",
    "%START_TIME_LOCAL%": START[:-1] + r"[+-]\d{4}",
    "%START_TIME(%E3S %E*S %Ez %E4Y %3f%6f)%": r"\d\d\.\d{3} \d\d\.\d+ \+00:00 \d{4} \d{9}",
    "%STREAM_INFO_REQ(x-one):2%": "fi",
    "%RESPONSE_TRAILERS_BYTES%": "0",
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
