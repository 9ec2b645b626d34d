"""Asks DNS servers one question, over UDP and TCP, again and elsewhere until there is an answer.

As c-ares does it for Envoy: each server is asked `tries` times in turn, with a time limit that doubles from round to
round; SERVFAIL, REFUSED and NOTIMP are no answers; a truncated answer is asked for over TCP; a server that does not
know EDNS is asked without.  After a few answers the limit follows how long they took, so that a lost datagram costs
fractions of a second.  The server with the fewest failures comes first, and one that failed gets another chance later.

UDP sockets are connected, so that the kernel drops what others send; each has a port that the kernel chose and asks
few questions, and the identifiers of questions are unpredictable (RFC 5452).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ClientFactory, DatagramProtocol
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from twistproxy.api.clock import Timer
from twistproxy.discovery import dns_wire
from twistproxy.discovery.dns_wire import MalformedMessage, Reply, decode_reply, encode_question
from twistproxy.discovery.source import Random
from twistproxy.model.discovery import CaresResolver

#: Questions that share a UDP socket, and so a port, unless `udp_max_queries` says otherwise.
SOCKET_QUERIES = 16
#: c-ares: a limit that follows the answers is five times what they took, within these bounds (seconds).
LATENCY_FACTOR, LEAST_LIMIT, MOST_LIMIT, LEAST_SAMPLES = 5, 0.25, 5.0, 3
#: c-ares: a server that failed may be asked first again after so many seconds, by one question in ten.
SECOND_CHANCE_AFTER, SECOND_CHANCE = 5.0, 0.1

_ANSWERS = (dns_wire.OK, dns_wire.NXDOMAIN)
_CLOSED = "closed"
_ELSEWHERE = (dns_wire.SERVFAIL, dns_wire.NOTIMP, dns_wire.REFUSED)


class QueryFailed(Exception):
    """No server has answered.  `timeouts`: how often time ran out; `timed_out`: the last time, too."""

    def __init__(self, reason: str, timeouts: int = 0, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timeouts = timeouts
        self.timed_out = timed_out


@dataclass(slots=True)
class _Server:
    """One DNS server: what is known of its health.  `latency` is an average in seconds over `samples` answers."""

    host: str
    port: int
    failures: int = 0
    failed_at: float = 0.0
    latency: float = 0.0
    samples: int = 0
    socket: _UdpSocket | None = None

    def limit(self, default: float) -> float:
        """Seconds to wait for its answer in the first round."""
        if self.samples < LEAST_SAMPLES:
            return default
        return min(max(self.latency * LATENCY_FACTOR, LEAST_LIMIT), MOST_LIMIT)

    def answered(self, after: float) -> None:
        self.failures = 0
        self.samples += 1
        self.latency += (after - self.latency) / min(self.samples, 16)

    def failed(self, now: float) -> None:
        self.failures += 1
        self.failed_at = now


class DnsChannel:
    """Asks a list of DNS servers.

    settings  how they are asked
    random    for servers; what must not be guessed is drawn elsewhere
    """

    def __init__(self, reactor: Any, settings: CaresResolver, random: Random) -> None:
        self.reactor = reactor
        self.settings = settings
        self._random = random
        self._servers: list[_Server] = []
        self._asking: set[_Question] = set()
        self._turn = 0
        self._closed = False

    def use(self, servers: tuple[tuple[str, int], ...]) -> None:
        """Ask these from now on; one that stays keeps what is known of it."""
        known = {(server.host, server.port): server for server in self._servers}
        if tuple(known) != servers:
            self._servers = [known.get(each) or _Server(*each) for each in dict.fromkeys(servers)]

    def ask(self, name: str, kind: int) -> Deferred[Reply]:
        """The answer with code OK or NXDOMAIN; the failure is QueryFailed."""
        done: Deferred[Reply] = Deferred()
        if self._closed:
            done.errback(Failure(QueryFailed(_CLOSED)))
            return done
        try:
            encode_question(0, name, kind)
        except MalformedMessage as error:
            done.errback(Failure(QueryFailed(str(error))))
            return done
        question = _Question(self, name, kind, self.settings.tries * len(self._servers), done)
        self._asking.add(question)
        question.attempt()
        return done

    def close(self) -> None:
        """Ask nothing more; questions without an answer have failed, and so do those that follow from that."""
        self._closed = True
        for question in tuple(self._asking):
            question.give_up(_CLOSED)

    def pick(self, first: bool) -> _Server:
        """The server for the next attempt; `first`: the question's first one."""
        servers = self._servers
        if self.settings.rotate and first:
            self._turn = (self._turn + 1) % len(servers)
        turn = self._turn if self.settings.rotate else 0
        best = min(range(len(servers)), key=lambda at: (servers[at].failures, (at - turn) % len(servers)))
        if first and len(servers) > 1:
            now = self.reactor.seconds()
            for server in servers:
                waited = server.failures > servers[best].failures and now - server.failed_at
                if waited >= SECOND_CHANCE_AFTER and self._random() < SECOND_CHANCE:
                    return server
        return servers[best]

    def forget(self, question: _Question) -> None:
        self._asking.discard(question)


class _Question:
    """One question on its way from server to server."""

    def __init__(
        self, channel: DnsChannel, name: str, kind: int, attempts: int, done: Deferred[Reply]
    ) -> None:
        self.name = name.lower().removesuffix(".")
        self.kind = kind
        self._channel = channel
        self._attempts = attempts
        self._per_round = max(1, attempts // channel.settings.tries)
        self._made = 0
        self._timeouts = 0
        self._tcp = channel.settings.tcp_only
        self._server: _Server | None = None
        self._sent_at = 0.0
        self._timer: Timer | None = None
        self._cancel: Callable[[], None] | None = None
        self._edns = True
        self._done = done

    def attempt(self) -> None:
        """Ask the next server, or the same one again."""
        server = self._server = self._channel.pick(self._made == 0)
        self._made += 1
        self._send(server)

    def give_up(self, reason: str, timed_out: bool = False) -> None:
        self._stop_waiting()
        self._channel.forget(self)
        self._done.errback(Failure(QueryFailed(reason, self._timeouts, timed_out)))

    def _send(self, server: _Server) -> None:
        reactor = self._channel.reactor
        self._sent_at = reactor.seconds()
        payload = self._channel.settings.payload if self._edns else 0
        # The deadline first: whatever fails at once takes it away again.
        doubled = (self._made - 1) // self._per_round
        limit = server.limit(self._channel.settings.timeout) * 2**doubled
        self._timer = reactor.callLater(limit, self._timed_out)
        try:
            if self._tcp:
                message_id = secrets.randbelow(65536)
                message = encode_question(message_id, self.name, self.kind, payload)
                factory = _TcpExchange(self, message_id, message)
                self._cancel = factory.cancel
                factory.connector = reactor.connectTCP(server.host, server.port, factory, timeout=limit)
                return
            socket = server.socket
            if socket is None or not socket.usable:
                socket = server.socket = _UdpSocket(
                    reactor, server, self._channel.settings.socket_queries or SOCKET_QUERIES
                )
            self._cancel = socket.ask(self, payload)
        except (CannotListenError, OSError) as error:
            self.no_answer(str(error))

    def answered(self, data: bytes, message_id: int) -> bool:
        """Bytes from the server.  Returns whether they are the answer; what is not is no reason to stop waiting."""
        try:
            reply = decode_reply(data)
        except MalformedMessage:
            if int.from_bytes(data[:2], "big") != message_id or len(data) < 2:
                return False
            self.no_answer("malformed answer")
            return True
        if reply.id != message_id or (reply.name, reply.kind) != (self.name, self.kind):
            return False
        self._heed(reply)
        return True

    def _heed(self, reply: Reply) -> None:
        server = self._server
        assert server is not None
        if reply.code in _ELSEWHERE:
            self.no_answer(dns_wire.CODE_NAMES[reply.code])
            return
        server.answered(self._channel.reactor.seconds() - self._sent_at)
        if reply.code == dns_wire.FORMERR and self._edns:
            self._edns = False
            self._stop_waiting()
            self._send(server)
        elif reply.truncated and not self._tcp:
            self._tcp = True
            self._stop_waiting()
            self._send(server)
        elif reply.code in _ANSWERS and not reply.truncated:
            self._stop_waiting()
            self._channel.forget(self)
            self._done.callback(reply)
        elif reply.truncated:
            self.give_up("truncated")
        else:
            code = reply.code
            self.give_up(dns_wire.CODE_NAMES[code] if code < len(dns_wire.CODE_NAMES) else f"code {code}")

    def no_answer(self, reason: str, timed_out: bool = False) -> None:
        """This server is of no use now: ask the next one."""
        self._stop_waiting()
        if self._server is not None:
            self._server.failed(self._channel.reactor.seconds())
        if self._made >= self._attempts:
            self.give_up(reason, timed_out)
        else:
            self.attempt()

    def _timed_out(self) -> None:
        self._timer = None
        self._timeouts += 1
        self.no_answer("no answer in time", timed_out=True)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._cancel is not None:
            cancel, self._cancel = self._cancel, None
            cancel()


class _UdpSocket(DatagramProtocol):
    """A UDP socket that is connected to one server: its questions that wait, by identifier."""

    noisy = False

    def __init__(self, reactor: Any, server: _Server, most: int) -> None:
        self._waiting: dict[int, _Question] = {}
        self._left = most
        self._server = server
        self._open = True
        self._port = reactor.listenUDP(0, self, interface="::" if ":" in server.host else "")
        try:
            self._port.connect(server.host, server.port)
        except OSError:
            self._port.stopListening()
            raise

    @property
    def usable(self) -> bool:
        """Whether it may ask another question."""
        return self._left > 0

    def ask(self, question: _Question, payload: int) -> Callable[[], None]:
        """Send a question.  Returns what stops waiting for its answer."""
        message_id = secrets.randbelow(65536)
        while message_id in self._waiting:
            message_id = secrets.randbelow(65536)
        message = encode_question(message_id, question.name, question.kind, payload)
        self._left -= 1
        self._waiting[message_id] = question

        def cancel() -> None:
            del self._waiting[message_id]
            self._close_if_idle()

        try:
            self._port.write(message)
        except OSError:
            cancel()
            raise
        return cancel

    def _close_if_idle(self) -> None:
        """A socket without questions is closed: the next question comes from another port."""
        if not self._waiting and self._open:
            self._retire()
            self._port.stopListening()

    def _retire(self) -> None:
        self._open = False
        self._left = 0
        if self._server.socket is self:
            self._server.socket = None

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        message_id = int.from_bytes(datagram[:2], "big")
        question = self._waiting.get(message_id)
        if question is not None:
            question.answered(datagram, message_id)

    def stopProtocol(self) -> None:
        """The socket is closed; if not by us, it was for an error: that is how the epoll reactor takes a refusal."""
        if self._open:
            self._retire()
            self.connectionRefused()

    def connectionRefused(self) -> None:
        for question in tuple(self._waiting.values()):
            question.no_answer("connection refused")


class _TcpExchange(ClientFactory):
    """A connection for one question."""

    noisy = False

    def __init__(self, question: _Question, message_id: int, message: bytes) -> None:
        self.connector: Any = None
        self._question: _Question | None = question
        self._id = message_id
        self._message = message

    def cancel(self) -> None:
        """Nobody waits for an answer any more."""
        self._question = None
        if self.connector is not None:
            self.connector.disconnect()

    def buildProtocol(self, addr: Any) -> Any:
        return _TcpProtocol(self, self._message)

    def received(self, data: bytes) -> None:
        """A message came; what does not answer the question is a failure: nothing else can come on this connection."""
        question, self._question = self._question, None
        if question is not None and not question.answered(data, self._id):
            question.no_answer("malformed answer")

    def lost(self, reason: str) -> None:
        question, self._question = self._question, None
        if question is not None:
            question.no_answer(reason)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.lost("connection refused" if "refused" in str(reason.value) else str(reason.value))


class _TcpProtocol(Int16StringReceiver):
    def __init__(self, exchange: _TcpExchange, message: bytes) -> None:
        self._exchange = exchange
        self._message = message

    def connectionMade(self) -> None:
        self.sendString(self._message)  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        self._exchange.received(string)

    def connectionLost(self, reason: Any = None) -> None:
        self._exchange.lost("the connection was closed")
