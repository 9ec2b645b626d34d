"""A scripted DNS server on loopback, UDP and TCP on one port: zones change while it runs, and it can misbehave.

    peer = DnsPeer()
    peer.a("app.test", "127.0.0.1", "127.0.0.2", ttl=5)
    peer.srv("_http._tcp.app.test", (0, 10, 8080, "one.test"))
    peer.says("app.test", "NXDOMAIN")       # or SERVFAIL, REFUSED, FORMERR, NOTIMP, silence, garbage, empty, close
    peer.clear("app.test")                  # the records count again

Messages are those of twisted.names.  A name without records is NXDOMAIN; one without records of the type that is asked
for is an answer without records.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.names import dns

CODES = {"NXDOMAIN": 3, "SERVFAIL": 2, "REFUSED": 5, "FORMERR": 1, "NOTIMP": 4}
SAFE_SIZE = 512


@dataclass(frozen=True)
class Asked:
    """One question: `payload` is the size of the EDNS option, 0 without; `port` where it came from."""

    name: str
    kind: str
    tcp: bool
    payload: int
    port: int
    id: int


@dataclass
class _Name:
    """What is known of one name.

    says        the answer in place of the records, "" for the records
    delay       seconds before any answer
    truncated   over UDP only a mark that the answer is longer
    additional  with an SRV answer go the addresses of its targets
    """

    records: list[tuple[int, int, Any]] = field(default_factory=list)
    says: str = ""
    says_to: str = ""
    delay: float = 0.0
    truncated: bool = False
    additional: bool = False


class DnsPeer:
    """A DNS server.  `asked` lists the questions so far; `stop` ends it."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        #: whether it knows EDNS: without, questions with an option are FORMERR
        self.edns = True
        #: an answer of somebody else, for each question: gets the question as sent, returns (bytes, from another port)
        self.forge: Callable[[bytes], bytes] | None = None
        self._names: dict[str, _Name] = {}
        self._lock = threading.Lock()
        self._udp, self._tcp = _one_port()
        self.port: int = self._udp.getsockname()[1]
        self._stopped = False
        self._open: list[socket.socket] = []
        for work in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=work, daemon=True).start()

    # Zones.

    def a(self, name: str, *addresses: str, ttl: int = 60, keep: bool = False) -> None:
        """These are the addresses of a name, in this order; `keep`: beside what it has."""
        records = [
            (dns.AAAA, ttl, dns.Record_AAAA(each, ttl))
            if ":" in each
            else (dns.A, ttl, dns.Record_A(each, ttl))
            for each in addresses
        ]
        self._set(name, records, keep)

    def cname(self, name: str, target: str, ttl: int = 60) -> None:
        self._set(name, [(dns.CNAME, ttl, dns.Record_CNAME(target, ttl))], False)

    def srv(
        self, name: str, *targets: tuple[int, int, int, str], ttl: int = 60, additional: bool = False
    ) -> None:
        """Targets are (priority, weight, port, name)."""
        records = [dns.Record_SRV(*numbers, target.rstrip("."), ttl) for *numbers, target in targets]
        self._set(name, [(dns.SRV, ttl, record) for record in records], False)
        self._name(name).additional = additional

    def says(self, name: str, what: str, kind: str = "") -> None:
        """Answer so in place of the records; `kind`: only to questions of this type."""
        found = self._name(name)
        found.says, found.says_to = what, kind

    def slow(self, name: str, seconds: float) -> None:
        self._name(name).delay = seconds

    def truncated(self, name: str) -> None:
        self._name(name).truncated = True

    def clear(self, name: str) -> None:
        """Answer with the records, at once."""
        found = self._name(name)
        found.says, found.says_to, found.delay, found.truncated = "", "", 0.0, False

    def remove(self, name: str) -> None:
        with self._lock:
            self._names.pop(name, None)

    def questions(self, name: str, kind: str = "") -> list[Asked]:
        """The questions so far for a name, of one type or all."""
        return [each for each in self.asked if each.name == name and kind in ("", each.kind)]

    def stop(self) -> None:
        self._stopped = True
        for each in (self._udp, self._tcp, *self._open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _name(self, name: str) -> _Name:
        with self._lock:
            return self._names.setdefault(name, _Name())

    def _set(self, name: str, records: list[tuple[int, int, Any]], keep: bool) -> None:
        found = self._name(name)
        found.records = [*found.records, *records] if keep else records

    # Questions.

    def _serve_udp(self) -> None:
        while not self._stopped:
            try:
                data, sender = self._udp.recvfrom(65535)
            except OSError:
                return
            if sender is None:  # the socket was shut down
                return
            self._take(data, sender[1], False, lambda answer, to=sender: self._send_udp(answer, to))

    def _send_udp(self, answer: bytes, sender: Any) -> None:
        try:
            self._udp.sendto(answer, sender)
        except OSError:
            pass

    def _serve_tcp(self) -> None:
        while not self._stopped:
            try:
                sock, sender = self._tcp.accept()
            except OSError:
                return
            self._open.append(sock)
            threading.Thread(target=self._serve_connection, args=(sock, sender[1]), daemon=True).start()

    def _serve_connection(self, sock: socket.socket, port: int) -> None:
        buffer = b""
        try:
            while data := sock.recv(65535):
                buffer += data
                while len(buffer) >= 2 and len(buffer) >= 2 + (size := struct.unpack("!H", buffer[:2])[0]):
                    message, buffer = buffer[2 : 2 + size], buffer[2 + size :]
                    self._take(message, port, True, lambda answer: _send_tcp(sock, answer))
        except OSError:
            pass
        sock.close()

    def _take(self, data: bytes, port: int, tcp: bool, send: Callable[[bytes], None]) -> None:
        question = dns.Message()
        question.fromStr(data)
        query = question.queries[0]
        name = query.name.name.decode().lower()
        kind = dns.QUERY_TYPES.get(query.type, str(query.type))
        payload = next((each.cls for each in question.additional if each.type == dns.OPT), 0)
        self.asked.append(Asked(name, kind, tcp, payload, port, question.id))
        found = self._names.get(name, _Name(says="NXDOMAIN"))
        says = found.says if found.says_to in ("", kind) else ""
        if self.forge is not None:
            send(self.forge(data))
        if says == "silence":
            return
        answer = self._answer(question, query, found, says, tcp, payload)
        if found.delay:
            timer = threading.Timer(found.delay, send, (answer,))
            timer.daemon = True
            timer.start()
        else:
            send(answer)

    def _answer(self, question: Any, query: Any, found: _Name, says: str, tcp: bool, payload: int) -> bytes:
        answer = dns.Message(id=question.id, answer=1, recDes=question.recDes, recAv=1, maxSize=0)
        answer.queries = [query]
        if says == "garbage":
            return bytes(answer.toStr())[:11]
        if payload and not self.edns:
            answer.rCode = CODES["FORMERR"]
            return bytes(answer.toStr())
        if says and says != "empty":
            answer.rCode = CODES[says]
            return bytes(answer.toStr())
        if not says:
            self._records(answer, query, found)
        if payload:
            answer.additional.append(_option())
        out = bytes(answer.toStr())
        if not tcp and (found.truncated or len(out) > max(payload, SAFE_SIZE)):
            answer.trunc = 1
            answer.answers = []
            answer.additional = [_option()] if payload else []
            out = bytes(answer.toStr())
        return out

    def _records(self, answer: Any, query: Any, found: _Name) -> None:
        owner = query.name.name
        # A chain of aliases goes into the answer with its end, as from any recursive server.
        while len(found.records) == 1 and found.records[0][0] == dns.CNAME and query.type != dns.CNAME:
            _, ttl, record = found.records[0]
            answer.answers.append(dns.RRHeader(owner, dns.CNAME, dns.IN, ttl, record))
            owner = record.name.name
            found = self._names.get(owner.decode(), _Name())
        for kind, ttl, record in found.records:
            if kind == query.type:
                answer.answers.append(dns.RRHeader(owner, kind, dns.IN, ttl, record))
                if kind == dns.SRV and found.additional:
                    target = record.target.name
                    for one, seconds, each in self._names.get(target.decode(), _Name()).records:
                        answer.additional.append(dns.RRHeader(target, one, dns.IN, seconds, each))


def _option() -> Any:
    return dns.RRHeader(b"", dns.OPT, 1232, 0, dns.UnknownRecord(b""))


def _send_tcp(sock: socket.socket, answer: bytes) -> None:
    try:
        sock.sendall(struct.pack("!H", len(answer)) + answer)
    except OSError:
        pass


def _one_port() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same loopback port."""
    limit = time.monotonic() + 5
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            if time.monotonic() > limit:
                raise
            continue
        return udp, tcp
