"""What a worker does for outlier detection: it counts, and says when there were enough failures in a row.

It counts in its own line of the host's row on the board, as `model.outlier` says; the discovery process decides what
follows (`discovery.outlier`).  Which events count, and as what: Envoy's Outlier::Result and DetectorHostMonitor
(arch_overview/upstream/outlier, "Locally originated vs externally originated events").
"""

from __future__ import annotations

from twistproxy.http.grpc import http_status_of, is_grpc
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.outlier import (
    BASES,
    CONSECUTIVE_5XX,
    CONSECUTIVE_GATEWAY_FAILURE,
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
    COUNTED,
    DEGRADED,
    FAILING,
    FAILURES,
    GATEWAY_FAILURES,
    LOCAL_FAILURES,
    LOCAL_SUCCESSES,
    SUCCESSES,
    OutlierSettings,
)
from twistproxy.primitives.board import WorkerBoard
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.primitives.shared_line import SharedLine

#: What the discovery process listens for (`DiscoveryService.on_said`): {"cluster", "row": of the host, "kind": of
#: failures, "total": of them}.
ABOUT = "outlier"

_GRPC_STATUS = b"grpc-status"
_DEGRADED = b"x-envoy-degraded"
#: The status that stands for a connection that could not be made, or was lost.
_NO_CONNECTION = 503
#: Those that stand for what a matcher says of a response.
_FAILED, _SUCCEEDED = 500, 200


class OutlierRules:
    """What holds for all hosts of a cluster.

    limits  how many failures in a row are too many, by kind; 0: none are
    split   whether failures of ours count apart
    errors  which responses are failures; None: those of 5xx
    degrades  whether hosts may say that they are degraded
    """

    __slots__ = ("_board", "_cluster", "_settings", "degrades", "errors", "limits", "split")

    def __init__(self, cluster: str, settings: OutlierSettings, board: WorkerBoard) -> None:
        self._cluster = cluster
        self._settings = settings
        self._board = board
        self.split = settings.split
        self.errors = settings.errors
        self.degrades = settings.detect_degraded_hosts
        self.limits = (
            settings.consecutive_5xx,
            settings.consecutive_gateway_failure,
            settings.consecutive_local_origin_failure,
        )

    def use_runtime(self, runtime: RuntimeValues) -> None:
        settings = self._settings
        self.limits = (
            runtime.get_integer("outlier_detection.consecutive_5xx", settings.consecutive_5xx),
            runtime.get_integer(
                "outlier_detection.consecutive_gateway_failure", settings.consecutive_gateway_failure
            ),
            runtime.get_integer(
                "outlier_detection.consecutive_local_origin_failure",
                settings.consecutive_local_origin_failure,
            ),
        )

    def counts(self, row: int) -> OutlierCounts | None:
        """Where to count what becomes of the requests to a host; None if there is no place."""
        line = self._board.line(row)
        return None if line is None else OutlierCounts(self, row, line)

    def degraded(self, row: int) -> None:
        """A host says that it is degraded."""
        self._board.say(ABOUT, {"cluster": self._cluster, "row": row, "kind": DEGRADED})

    def reached(self, row: int, kind: int, total: int) -> None:
        """A host has failed too often in a row; `total`: of such failures since ever."""
        self._board.say(ABOUT, {"cluster": self._cluster, "row": row, "kind": kind, "total": total})


class OutlierCounts:
    """What becomes of the requests to one host.

    ejected, degraded  whether that is known of it, so that nothing need be said
    """

    __slots__ = ("_common", "_line", "_rules", "degraded", "ejected", "row")

    def __init__(self, rules: OutlierRules, row: int, line: SharedLine) -> None:
        self._rules = rules
        self._line = line
        self._common = line.common
        self.row = row
        self.ejected = False
        self.degraded = False

    def answered(self, request: RequestHead, head: ResponseHead) -> None:
        """The host has answered; of a gRPC response that has a status already, that counts."""
        status = head.status
        errors = self._rules.errors
        if errors is not None:
            status = _FAILED if errors.matches(head) else _SUCCEEDED
        elif _GRPC_STATUS in head.index and is_grpc(request):
            status = http_status_of(head.index[_GRPC_STATUS])
        if self._rules.degrades and status < 500 and not self.degraded and _DEGRADED in head.index:
            self._rules.degraded(self.row)
        self._count(status)

    def connected(self) -> None:
        """A request has got a connection, a new one or not."""
        if self._rules.split:
            line = self._line
            line.add(LOCAL_SUCCESSES, 1)
            failures = line.total(LOCAL_FAILURES)
            if self._common[BASES + CONSECUTIVE_LOCAL_ORIGIN_FAILURE] != failures:
                self._common[BASES + CONSECUTIVE_LOCAL_ORIGIN_FAILURE] = failures

    def disconnected(self) -> None:
        """There was no connection for a request, or its stream was lost."""
        if self._rules.split:
            self._count_local()
        else:
            self._count(_NO_CONNECTION)

    def timed_out(self, status: int) -> None:
        """A request had no answer in time.  `status`: what the client is told."""
        if self._rules.split:
            self._count_local()
        else:
            self._count(status)

    def _count(self, status: int) -> None:
        line = self._line
        common = self._common
        if status < 500:
            line.add(SUCCESSES, 1)
            if common[FAILING]:
                common[FAILING] = 0
                self._restart(CONSECUTIVE_5XX)
                self._restart(CONSECUTIVE_GATEWAY_FAILURE)
            return
        line.add(FAILURES, 1)
        if 502 <= status <= 504:
            line.add(GATEWAY_FAILURES, 1)
            self._check(CONSECUTIVE_GATEWAY_FAILURE)
        else:
            self._restart(CONSECUTIVE_GATEWAY_FAILURE)
        self._check(CONSECUTIVE_5XX)
        common[FAILING] = 1

    def _count_local(self) -> None:
        self._line.add(LOCAL_FAILURES, 1)
        self._check(CONSECUTIVE_LOCAL_ORIGIN_FAILURE)

    def _restart(self, kind: int) -> None:
        """The row of failures is broken."""
        self._common[BASES + kind] = self._line.total(COUNTED[kind])

    def _check(self, kind: int) -> None:
        """One failure more: are there too many?"""
        total = self._line.total(COUNTED[kind])
        count = total - self._common[BASES + kind]
        if count <= 0:
            # What a worker that has died had counted is gone.
            self._common[BASES + kind] = total - 1
            count = 1
        limit = self._rules.limits[kind]
        if limit and count >= limit and not self.ejected:
            # What follows begins a new row, however long it takes until the discovery process knows of this one.
            self._common[BASES + kind] = total
            self._rules.reached(self.row, kind, total)
