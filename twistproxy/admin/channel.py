"""The admin's connections: what they count, as those of a listener called "admin" (Envoy: `listener.admin.*`,
`http.admin.*`), and how a head is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, datetimeToString
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from twistproxy.admin.answer import PLAIN, SERVER_NAME
from twistproxy.observe.manager_stats import HttpManagerStats, ListenerStats
from twistproxy.observe.stats import Snapshot

#: Headers that come after all others, in this order.
_LAST = (b"date", b"server", b"connection", b"transfer-encoding")
#: A connection manager that routes nothing has these only.
_SHOWN = ("downstream_", "rs_too_large")


class AdminStats:
    """What all of the admin's connections count, wherever it listens.

    now  seconds, as a monotonic clock has them
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.connections = 0
        self.requests = 0
        self.manager = HttpManagerStats()
        self._listener = ListenerStats()

    def connected(self) -> None:
        self.connections += 1
        self._listener.downstream_cx_total += 1
        self.manager.downstream_cx_total += 1
        self.manager.downstream_cx_http1_total += 1

    def disconnected(self, seconds: float, by_us: bool, in_request: bool) -> None:
        """A connection that was open for so long is closed."""
        stats = self.manager
        self.connections -= 1
        stats.downstream_cx_destroy += 1
        if by_us:
            stats.downstream_cx_destroy_local += 1
            stats.downstream_cx_destroy_local_active_rq += in_request
        else:
            stats.downstream_cx_destroy_remote += 1
            stats.downstream_cx_destroy_remote_active_rq += in_request
        stats.downstream_cx_destroy_active_rq += in_request
        for lengths in (stats.cx_length_ms, self._listener.length_ms):
            lengths.record(_milliseconds(seconds))

    def began(self) -> None:
        """A request came."""
        self.requests += 1
        self.manager.downstream_rq_total += 1
        self.manager.downstream_rq_http1_total += 1

    def answered(self, status: int) -> None:
        """The head of its response is sent."""
        self.manager.downstream_rq_completed += 1
        self.manager.statuses[status // 100 * 100] += 1

    def ended(self, seconds: float) -> None:
        """A request is over that took so long, answered or not."""
        self.requests -= 1
        self.manager.rq_time.record(_milliseconds(seconds))

    def collect(self, out: Snapshot) -> None:
        """Add everything under its full names."""
        manager = Snapshot("figures")
        self.manager.collect("", manager)
        for name, count in manager.counters.items():
            if name.startswith(_SHOWN):
                out.counters["http.admin." + name] = count
        for name, count in manager.gauges.items():
            out.gauges["http.admin." + name] = count
        for name, counts in manager.histograms.items():
            out.histograms["http.admin." + name] = counts
        out.gauges["http.admin.downstream_cx_active"] = self.connections
        out.gauges["http.admin.downstream_cx_http1_active"] = self.connections
        out.gauges["http.admin.downstream_rq_active"] = self.requests
        prefix = "listener.admin."
        self._listener.collect(prefix, out)
        del out.counters[prefix + "extension_config_missing"]
        del out.counters[prefix + "network_extension_config_missing"]
        out.counters[prefix + "downstream_cx_destroy"] = self.manager.downstream_cx_destroy
        out.gauges[prefix + "downstream_cx_active"] = self.connections
        out.counters[prefix + "main_thread.downstream_cx_total"] = self.manager.downstream_cx_total
        out.gauges[prefix + "main_thread.downstream_cx_active"] = self.connections
        for status, count in self.manager.statuses.items():
            out.counters[f"{prefix}http.admin.downstream_rq_{status // 100}xx"] = count
        completed = prefix + "http.admin.downstream_rq_completed"
        out.counters[completed] = self.manager.downstream_rq_completed


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


class AdminChannel(HTTPChannel):
    """One connection."""

    _opened = 0.0
    _closing = False

    def __init__(self, stats: AdminStats) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._stats = stats

    def connectionMade(self) -> None:
        self._opened = self._stats.now()
        self._stats.connected()
        super().connectionMade()  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        self._stats.manager.downstream_cx_rx_bytes_total += len(data)
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def loseConnection(self) -> Any:
        self._closing = True
        return super().loseConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        seconds = self._stats.now() - self._opened
        self._stats.disconnected(seconds, self._closing, bool(self.requests))
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def write(self, data: bytes) -> None:
        self._stats.manager.downstream_cx_tx_bytes_total += len(data)
        super().write(data)  # type: ignore[no-untyped-call]

    def writeSequence(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Names in lower case and in the order in which Envoy has them."""
        fields = [(name.lower(), value) for name, values in headers.getAllRawHeaders() for value in values]
        fields.sort(key=lambda field: _LAST.index(field[0]) + 1 if field[0] in _LAST else 0)
        lines = [b"%b: %b\r\n" % field for field in fields]
        self._stats.answered(int(code))
        self.writeSequence([b"%b %b %b\r\n" % (version, code, reason), *lines, b"\r\n"])

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse(431, "Request Header Fields Too Large")

    def _respondToBadRequestAndDisconnect(self) -> None:
        """What comes is no HTTP, or has both framings, or no end."""
        self._refuse(400, "Bad Request")

    def _refuse(self, status: int, reason: str) -> None:
        self._stats.manager.downstream_cx_protocol_error += 1
        headers = Headers()
        for name, value in (
            ("content-length", str(len(reason))),
            ("content-type", PLAIN),
            ("date", datetimeToString().decode()),
            ("server", SERVER_NAME),
            ("connection", "close"),
        ):
            headers.addRawHeader(name, value)
        self.writeHeaders(b"HTTP/1.1", b"%d" % status, reason.encode(), headers)
        self.write(reason.encode())
        self.loseConnection()


class AdminRequest(Request):
    """A request; one for the server as a whole, as in "OPTIONS *", is for nothing that is here."""

    def _handleStar(self) -> None:
        self.setResponseCode(404)
        self.responseHeaders.setRawHeaders("server", [SERVER_NAME])
        self.responseHeaders.setRawHeaders("content-length", ["0"])
        self.finish()  # type: ignore[no-untyped-call]
