"""Listening sockets, as the master binds and keeps them: one for each address and worker slot.

With SO_REUSEPORT each slot has a socket, and a queue of connections, of its own; without it, and for Unix
sockets, the slots share one.  The kernel keeps the queue of a socket as long as any process has it open, so
what arrives while a slot's worker is replaced waits here.
"""

from __future__ import annotations

import errno
import ipaddress
import itertools
import os
import socket
import stat
from collections.abc import Collection
from dataclasses import dataclass, replace

from twistproxy.errors import StartError
from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.model.sockets import NO_OPTIONS, ListenOptions, SocketOption

#: Linux cuts it to net.core.somaxconn, which is what Envoy asks for by default.
_LARGEST_BACKLOG = 65535

_keys = itertools.count(1)


@dataclass(frozen=True, slots=True)
class ListenSpec:
    """One address to listen on (envoy.config.listener.v3.Listener's fields of these names).

    listener     the listener's name
    reuse_port   one socket for each slot (`enable_reuse_port`)
    backlog      `tcp_backlog_size`; 0 for as long as the kernel allows
    ipv4_compat  an IPv6 socket that takes IPv4 too
    options      what is set on the sockets besides
    """

    listener: str
    address: Address
    reuse_port: bool = True
    backlog: int = 0
    ipv4_compat: bool = False
    options: ListenOptions = NO_OPTIONS


class _OptionRefused(OSError):
    """The kernel does not want one of the configured socket options."""


class ListenSockets:
    """The sockets of one `ListenSpec`, one for each of `slots` slots."""

    def __init__(self, spec: ListenSpec, sockets: list[socket.socket | None], address: Address) -> None:
        self.spec = spec
        #: where it is bound: the kernel's port if the specification says 0
        self.address = address
        self._sockets = sockets
        self._keys = [next(_keys) for _ in sockets]
        self._inode = _inode(address)

    @classmethod
    def bind(cls, spec: ListenSpec, slots: int, own_ports: Collection[int] = ()) -> ListenSockets:
        """Bind and listen.

        own_ports  ports that this process listens on already, on other addresses: they are no other program's
        Raises StartError with one line if the address cannot be had.
        """
        try:
            if isinstance(spec.address, PipeAddress):
                return cls._bind_pipe(spec, spec.address, slots)
            return cls._bind_tcp(spec, spec.address, slots, own_ports)
        except OSError as e:
            raise StartError(_explain(spec, e)) from e

    @classmethod
    def _bind_pipe(cls, spec: ListenSpec, address: PipeAddress, slots: int) -> ListenSockets:
        _remove_stale(address)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _set(sock, spec.options.before_bind)
            sock.bind(_pipe_name(address))
            if address.mode and not _is_abstract(address):
                os.chmod(address.path, address.mode)
            _listen(sock, spec)
        except OSError:
            sock.close()
            raise
        return cls(spec, _shared(sock, slots), address)

    @classmethod
    def _bind_tcp(
        cls, spec: ListenSpec, address: TcpAddress, slots: int, own_ports: Collection[int]
    ) -> ListenSockets:
        if address.port and address.port not in own_ports:
            # A bind without SO_REUSEPORT tells whether anybody holds the address, however they hold it.
            _bound(spec, address, reuse_port=False).close()
        sockets: list[socket.socket | None] = []
        try:
            first = _bound(spec, address, spec.reuse_port)
            sockets.append(first)
            address = address._replace(port=first.getsockname()[1])
            _listen(first, spec)
            if not spec.reuse_port:
                return cls(spec, _shared(first, slots), address)
            while len(sockets) < slots:
                sock = _bound(spec, address, reuse_port=True)
                sockets.append(sock)
                _listen(sock, spec)
        except OSError:
            for sock in filter(None, sockets):
                sock.close()
            raise
        return cls(spec, sockets, address)

    @property
    def shared(self) -> bool:
        """Whether all slots accept from one queue."""
        return not self.spec.reuse_port or isinstance(self.spec.address, PipeAddress)

    def descriptor(self, slot: int) -> int | None:
        """The slot's descriptor, None while it is closed."""
        sock = self._sockets[slot]
        return None if sock is None else sock.fileno()

    def key(self, slot: int) -> int:
        """Names the slot's present socket: a socket that is opened anew gets another key."""
        return self._keys[slot]

    def close_slot(self, slot: int) -> None:
        """Give up the slot's socket, so that the kernel sends nothing there.  A shared queue stays with the
        others."""
        sock = self._sockets[slot]
        if sock is not None:
            sock.close()
            self._sockets[slot] = None

    def open_slot(self, slot: int) -> None:
        """Bind the slot's socket again.  StartError if that fails."""
        if self._sockets[slot] is not None:
            return
        self._keys[slot] = next(_keys)
        if self.shared:
            for sock in self._sockets:
                if sock is not None:
                    self._sockets[slot] = sock.dup()
                    return
            again = ListenSockets.bind(replace(self.spec, address=self.address), 1)
            self._sockets[slot], self._inode = again._sockets[0], again._inode
            return
        assert isinstance(self.address, TcpAddress)
        try:
            sock = _bound(self.spec, self.address, reuse_port=True)
            self._sockets[slot] = sock
            _listen(sock, self.spec)
        except OSError as e:
            self.close_slot(slot)
            raise StartError(_explain(self.spec, e)) from e

    def close(self) -> None:
        """Close all, and remove the socket's file if it is still ours."""
        for slot in range(len(self._sockets)):
            self.close_slot(slot)
        if isinstance(self.address, PipeAddress) and self._inode and _inode(self.address) == self._inode:
            try:
                os.unlink(self.address.path)
            except OSError:
                pass


def _shared(sock: socket.socket, slots: int) -> list[socket.socket | None]:
    return [sock, *(sock.dup() for _ in range(slots - 1))]


def _bound(spec: ListenSpec, address: TcpAddress, reuse_port: bool) -> socket.socket:
    try:
        version = ipaddress.ip_address(address.host.partition("%")[0]).version
    except ValueError:
        raise OSError(errno.EINVAL, "not an IP address") from None
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if spec.ipv4_compat else 1)
        _set(sock, spec.options.before_bind)
        sock.bind((address.host, address.port))
    except (OSError, OverflowError):
        sock.close()
        raise
    return sock


def _listen(sock: socket.socket, spec: ListenSpec) -> None:
    if sock.family != socket.AF_UNIX:
        # Accepted connections inherit it (tcp(7)), which saves a system call for each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _set(sock, spec.options.bound)
    sock.listen(spec.backlog or _LARGEST_BACKLOG)
    _set(sock, spec.options.listening)
    sock.setblocking(False)


def _set(sock: socket.socket, options: tuple[SocketOption, ...]) -> None:
    for option in options:
        try:
            sock.setsockopt(option.level, option.name, option.value)
        except OSError as e:
            raise _OptionRefused(
                e.errno, f"socket option {option.name} of level {option.level}: {e.strerror}"
            ) from e


def _is_abstract(address: PipeAddress) -> bool:
    return address.path[:1] in ("@", "\0")


def _pipe_name(address: PipeAddress) -> str:
    return "\0" + address.path[1:] if _is_abstract(address) else address.path


def _inode(address: Address) -> tuple[int, int] | None:
    """Identifies the file of a Unix socket; None for every other address, and when there is no file."""
    if not isinstance(address, PipeAddress) or _is_abstract(address):
        return None
    try:
        found = os.stat(address.path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove_stale(address: PipeAddress) -> None:
    """Remove the file that a crashed program has left.  OSError(EADDRINUSE) if somebody listens there."""
    if _is_abstract(address):
        return
    try:
        if not stat.S_ISSOCK(os.stat(address.path).st_mode):
            raise OSError(errno.EEXIST, "there is a file of that name which is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            os.unlink(address.path)
            return
        except BlockingIOError:
            pass  # somebody listens and is behind
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _explain(spec: ListenSpec, error: OSError) -> str:
    """The one line that a user sees."""
    known = {
        errno.EADDRINUSE: "another program uses this address",
        errno.EADDRNOTAVAIL: "this machine does not have that address",
        errno.EACCES: "no permission",
        errno.EPERM: "no permission",
        errno.ENOENT: "the directory does not exist",
    }
    why = error.strerror or str(error)
    if not isinstance(error, _OptionRefused):
        why = known.get(error.errno or 0, why)
    if error.errno == errno.EACCES and isinstance(spec.address, TcpAddress) and spec.address.port < 1024:
        why += " (ports below 1024 take root or CAP_NET_BIND_SERVICE)"
    return f"cannot listen on {spec.address} for listener {spec.listener!r}: {why}"
