"""A statsd server: the lines that came, by datagram or over TCP."""

from __future__ import annotations

import contextlib
import socket
import threading

#: SO_RCVBUFFORCE of Linux: more than the usual limit, for those who may.
_RECEIVE_BUFFER_FORCE = 33
#: A flush is some thousand datagrams at once.
_ROOM = 8 * 1024 * 1024


class StatsdPeer:
    """Listens on a port of its own, with UDP and TCP."""

    def __init__(self) -> None:
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        with contextlib.suppress(PermissionError):
            self._udp.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _ROOM)
        self._udp.bind(("127.0.0.1", self.port))
        self.datagrams: list[str] = []
        self.stream = ""
        self._accepted: list[socket.socket] = []
        for run in (self._receive, self._accept):
            threading.Thread(target=run, daemon=True).start()

    def lines(self) -> list[str]:
        """All lines of datagrams."""
        return [line for datagram in list(self.datagrams) for line in datagram.split("\n")]

    def stop(self) -> None:
        for one in (self._udp, self._tcp, *self._accepted):
            one.close()

    def _receive(self) -> None:
        while True:
            try:
                data = self._udp.recv(65536)
            except OSError:
                return
            self.datagrams.append(data.decode())

    def _accept(self) -> None:
        try:
            connection, _ = self._tcp.accept()
            self._accepted.append(connection)
            while data := connection.recv(65536):
                self.stream += data.decode()
        except OSError:
            return
