"""The admin pages' listening socket: bound early, like those of the listeners, and served when the master
runs."""

from __future__ import annotations

from typing import Any

from twistproxy.admin.channel import AdminStats
from twistproxy.admin.server import make_admin_site
from twistproxy.admin.view import AdminView
from twistproxy.api.clock import Clock
from twistproxy.model.address import Address
from twistproxy.model.bootstrap import AdminSettings
from twistproxy.observe.stats import Snapshot
from twistproxy.transport.listen_sockets import ListenSockets, ListenSpec
from twistproxy.transport.listener import serve
from twistproxy.transport.log_file import LogFile, LogFiles


class AdminPort:
    """Binds at once (StartError if that is impossible; OSError if a log cannot be opened) and serves
    later."""

    def __init__(
        self, reactor: Any, clock: Clock, address: Address, settings: AdminSettings, stats: AdminStats
    ) -> None:
        self.settings = settings
        self._reactor = reactor
        self._stats = stats
        self._logs = LogFiles(clock)
        self._writers: list[LogFile] = [self._logs.open(path) for path in settings.access_log_paths]
        self._sockets = ListenSockets.bind(
            ListenSpec("admin", address, reuse_port=False, options=settings.options), 1
        )
        self._port: Any = None

    @property
    def address(self) -> Address:
        return self._sockets.address

    def serve(self, view: AdminView) -> None:
        """Answer from now on."""
        writers = [_line_writer(log) for log in self._writers]
        site = make_admin_site(view, self._stats, self._reactor, writers, self.settings.allow_paths)
        self._port = serve(self._reactor, self._sockets, site)

    def reopen_logs(self) -> None:
        self._logs.reopen()

    def collect(self, out: Snapshot) -> None:
        """Write what the access logs count."""
        self._logs.collect(out)

    def close(self) -> None:
        if self._port is not None:
            self._port.stopListening()
            self._port = None
        self._sockets.close()
        self._logs.close()


def _line_writer(log: LogFile) -> Any:
    return lambda line: log.write(line.encode())
