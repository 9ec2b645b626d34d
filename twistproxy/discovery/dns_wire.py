"""Questions and answers of DNS as bytes (RFC 1035, RFC 2782, RFC 6891).  Pure.

By hand, because twisted.names refuses messages with more than 1,000 compression pointers, that is, names with more than
1,000 addresses, and puts no bound on what it costs to read the names of a hostile message.  Here a name ends after
255 octets (RFC 1035 section 2.3.4), so that the longest message takes milliseconds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

A, CNAME, AAAA, SRV, OPT = 1, 5, 28, 33, 41
INTERNET = 1

OK, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
CODE_NAMES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_PAIR = struct.Struct("!HH")
_SERVICE = struct.Struct("!HHH")
_RESPONSE, _TRUNCATED, _RECURSION_DESIRED = 0x8000, 0x0200, 0x0100
_LONGEST_NAME = 255
_LONGEST_LABEL = 63
_MOST_HOPS = 127  # as many labels as a name can have
_MOST_TTL = 2**31 - 1


class MalformedMessage(ValueError):
    """Bytes that are no DNS message, or a name that is none."""


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """The data of an SRV record.  `target` is in lower case, "" for the root."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `ttl` in seconds.  `data` is an address, a service, or None for other types."""

    name: str
    kind: int
    ttl: int
    data: str | ServiceRecord | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server has said.  `code` is a response code, `name` and `kind` repeat the question."""

    id: int
    code: int
    truncated: bool
    name: str
    kind: int
    answers: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


def encode_question(message_id: int, name: str, kind: int, payload: int = 0) -> bytes:
    """A query with recursion desired.  `payload`: how long an answer over UDP may be (EDNS), 0 to leave it open.

    Raises MalformedMessage for a name that cannot be asked for.
    """
    header = _HEADER.pack(message_id, _RECURSION_DESIRED, 1, 0, 0, 1 if payload else 0)
    question = header + _encode_name(name) + _PAIR.pack(kind, INTERNET)
    return question + b"\0" + _RECORD.pack(OPT, payload, 0, 0) if payload else question


def _encode_name(name: str) -> bytes:
    try:
        plain = name.encode("ascii") if name.isascii() else name.encode("idna")
    except UnicodeError as error:
        raise MalformedMessage(f"malformed name {name!r}") from error
    out = b""
    for label in plain.removesuffix(b".").split(b"."):
        if not 0 < len(label) <= _LONGEST_LABEL:
            raise MalformedMessage(f"malformed name {name!r}")
        out += bytes((len(label),)) + label
    if len(out) >= _LONGEST_NAME:
        raise MalformedMessage(f"malformed name {name!r}")
    return out + b"\0"


def decode_reply(data: bytes) -> Reply:
    """Reads an answer to one question.  Raises MalformedMessage."""
    try:
        return _decode(data)
    except (struct.error, IndexError) as error:
        raise MalformedMessage("the message ends too early") from error


def _decode(data: bytes) -> Reply:
    message_id, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if not flags & _RESPONSE or questions != 1:
        raise MalformedMessage("no answer to one question")
    reader = _Reader(data)
    name = reader.name()
    kind, _ = reader.take(_PAIR)
    if flags & _TRUNCATED:
        # What is there of it is not the whole, and may end anywhere.
        return Reply(message_id, flags & 15, True, name, kind)
    found = reader.records(answers)
    reader.records(authorities)
    return Reply(message_id, flags & 15, False, name, kind, found, reader.records(additional))


class _Reader:
    """Reads on from the end of the header."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = _HEADER.size
        # Compressed names repeat: where each begins, and what is there.
        self._names: dict[int, str] = {}

    def take(self, shape: struct.Struct) -> tuple[int, ...]:
        values: tuple[int, ...] = shape.unpack_from(self._data, self._at)
        self._at += shape.size
        return values

    def records(self, count: int) -> tuple[Record, ...]:
        return tuple([self._record() for _ in range(count)])

    def _record(self) -> Record:
        name = self.name()
        kind, _, ttl, length = self.take(_RECORD)
        start = self._at
        end = start + length
        if end > len(self._data):
            raise MalformedMessage("the message ends too early")
        data: str | ServiceRecord | None = None
        if kind == A and length == 4:
            data = "{}.{}.{}.{}".format(*self._data[start:end])
        elif kind == AAAA and length == 16:
            data = str(IPv6Address(self._data[start:end]))
        elif kind == SRV and length > _SERVICE.size:
            priority, weight, port = self.take(_SERVICE)
            data = ServiceRecord(priority, weight, port, self.name())
        self._at = end
        # A TTL with the highest bit set stands for 0 (RFC 2181 section 8).
        return Record(name, kind, ttl if ttl <= _MOST_TTL else 0, data)

    def name(self) -> str:
        """The name here, in lower case without the last dot; goes on behind it."""
        start = self._at
        if self._data[start] >= 0xC0:
            target = ((self._data[start] & 0x3F) << 8) | self._data[start + 1]
            self._at = start + 2
            known = self._names.get(target)
            if known is None:
                known = self._names[target] = self._labels(target)[0]
            return known
        name, self._at = self._labels(start)
        self._names[start] = name
        return name

    def _labels(self, at: int) -> tuple[str, int]:
        """The name that begins at `at`, and where it ends there."""
        labels: list[str] = []
        length = 0
        end = 0
        hops = 0
        while size := self._data[at]:
            if size >= 0xC0:
                end = end or at + 2
                at = ((size & 0x3F) << 8) | self._data[at + 1]
                hops += 1
                if hops > _MOST_HOPS:
                    raise MalformedMessage("a name points to itself")
                continue
            if size > _LONGEST_LABEL:
                raise MalformedMessage("a label of an unknown type")
            length += size + 1
            if length >= _LONGEST_NAME:
                raise MalformedMessage("a name is too long")
            labels.append(self._data[at + 1 : at + 1 + size].decode("latin-1").lower())
            at += size + 1
        return ".".join(labels), end or at + 1
