"""What the response to an HTTP check says (Envoy: HttpHealthCheckerImpl)."""

from __future__ import annotations

from twistproxy.discovery.health.payload import has_all
from twistproxy.discovery.health.probe import Failure, Results
from twistproxy.http.headers import first_value
from twistproxy.http.message import ResponseHead
from twistproxy.model.health_check import HttpCheck, Ranges

_DEGRADED = b"x-envoy-degraded"
_IMMEDIATE = b"x-envoy-immediate-health-check-fail"
_SERVICE = b"x-envoy-upstream-healthchecked-cluster"


def kept(check: HttpCheck, content: bytes, data: bytes) -> bytes:
    """What is to be remembered of the content after a further piece."""
    if not check.receive:
        return b""
    content += data
    return content[: check.buffer_size] if check.buffer_size else content


def judge(check: HttpCheck, head: ResponseHead, content: bytes, results: Results) -> None:
    """The response is whole.  `content`: as much of it as is looked at."""
    status = head.status
    immediate = _IMMEDIATE in head.index
    if check.receive and not has_all(check.receive, content):
        results.failed(Failure.ACTIVE, status=status, immediate=immediate)
    elif not _within(check.expected, status):
        retriable = _within(check.retriable, status)
        results.failed(Failure.ACTIVE, retriable=retriable, status=status, immediate=immediate)
    elif check.service_name is not None and results.verified():
        if check.service_name.matches(first_value(head, _SERVICE)):
            results.succeeded(_DEGRADED in head.index)
        else:
            results.failed(Failure.ACTIVE, status=status)
    else:
        results.succeeded(_DEGRADED in head.index)


def _within(ranges: Ranges, status: int) -> bool:
    return any(start <= status < end for start, end in ranges)
