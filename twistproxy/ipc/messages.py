"""The words between the master and its children: one constructor for each, so that both sides agree on the
keys.

A message is a JSON object; "t" says what it is.  Descriptors travel beside it (`transport.control_link`).

master → child    config ping stats explain drain stop stop_listening reopen log_levels healthy
                  runtime
child → master    ready refused pong snapshot explained stopped_listening leaving drained log
master → template fork
template → master template_ready forked exited log
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from twistproxy.errors import ConfigProblem
from twistproxy.ipc.frame import Message
from twistproxy.model.server_options import ServerOptions
from twistproxy.primitives.runtime import Plain


@dataclass(frozen=True, slots=True)
class PassedSocket:
    """A listening socket that a worker is to accept on.

    key       names the socket for its whole life; a worker that has a socket of this key open keeps it
    listener  the listener it belongs to
    address   where it is bound, as text, for the log
    passed    whether its descriptor travels with this message (in the order of these entries)
    """

    key: int
    listener: str
    address: str
    passed: bool


@dataclass(frozen=True, slots=True)
class ConfigMessage:
    """A configuration that a child is to run, decoded.

    generation     1 at the start, one more for each reload
    bootstrap      the serialised envoy.config.bootstrap.v3.Bootstrap
    source         what to call the configuration in messages, e.g. the file name
    options        the command line
    run_dir        where the Unix sockets are
    slot           the worker's number; 0 for the discovery process
    sockets        listening sockets; one that is missing is to be closed
    healthy        False after /healthcheck/fail
    log_levels     level by logger namespace, "" for all others
    runtime        the merged values of the runtime's layers
    column         the worker's column of the board, -1 if it has none
    rows           the first of each cluster's two rows of the board, and those of what else is counted there
    overload       what the overload manager says (`process.overload_manager`)
    successor      whether there was a discovery process before: workers may know what it knew
    settled        False as long as the former configuration may come back: what only that one says is to stay
    """

    generation: int
    bootstrap: bytes
    source: str
    options: ServerOptions
    run_dir: str
    slot: int = 0
    sockets: tuple[PassedSocket, ...] = ()
    healthy: bool = True
    log_levels: Mapping[str, str] | None = None
    runtime: Mapping[str, Plain] = field(default_factory=dict)
    column: int = -1
    rows: Mapping[str, int] = field(default_factory=dict)
    overload: Mapping[str, float] = field(default_factory=dict)
    settled: bool = True
    successor: bool = False

    def encode(self) -> Message:
        """As a message; `decode` is its inverse."""
        return {
            "t": "config",
            "generation": self.generation,
            "bootstrap": base64.b64encode(self.bootstrap).decode(),
            "source": self.source,
            "options": asdict(self.options),
            "run_dir": self.run_dir,
            "slot": self.slot,
            "sockets": [[s.key, s.listener, s.address, s.passed] for s in self.sockets],
            "healthy": self.healthy,
            "log_levels": dict(self.log_levels or {}),
            "runtime": dict(self.runtime),
            "column": self.column,
            "rows": dict(self.rows),
            "overload": dict(self.overload),
            "settled": self.settled,
            "successor": self.successor,
        }

    @classmethod
    def decode(cls, message: Message) -> ConfigMessage:
        return cls(
            generation=message["generation"],
            bootstrap=base64.b64decode(message["bootstrap"]),
            source=message["source"],
            options=ServerOptions(**message["options"]),
            run_dir=message["run_dir"],
            slot=message["slot"],
            sockets=tuple(PassedSocket(*s) for s in message["sockets"]),
            healthy=message["healthy"],
            log_levels=message["log_levels"],
            runtime=message["runtime"],
            column=message["column"],
            rows=message["rows"],
            overload=message["overload"],
            settled=message["settled"],
            successor=message["successor"],
        )


def ping(number: int) -> Message:
    """Are you still turning?  Answered with `pong` of the same number."""
    return {"t": "ping", "n": number}


def pong(number: int, at: float) -> Message:
    """`at`: when the ping was read, in seconds of the machine's monotonic clock."""
    return {"t": "pong", "n": number, "at": at}


def stats(number: int, scope: str) -> Message:
    """Send your statistics, so much of them (`observe.stats.Scope`); answered with `snapshot` of the same number."""
    return {"t": "stats", "n": number, "scope": scope}


def snapshot(number: int, value: Mapping[str, Any]) -> Message:
    return {"t": "snapshot", "n": number, "value": dict(value)}


def explain(number: int, question: Mapping[str, Any]) -> Message:
    """What would happen to this request?  Answered with `explained` of the same number."""
    return {"t": "explain", "n": number, "question": dict(question)}


def explained(number: int, value: Mapping[str, Any]) -> Message:
    return {"t": "explained", "n": number, "value": dict(value)}


def drain(seconds: float) -> Message:
    """Announce the end on every answer, finish what is in flight within `seconds`, say `drained` and
    leave."""
    return {"t": "drain", "seconds": seconds}


def announce_drain() -> Message:
    """Announce the end on every answer, but keep on (POST /drain_listeners?graceful)."""
    return {"t": "announce_drain"}


def stop() -> Message:
    """Leave now."""
    return {"t": "stop"}


def stop_listening(keys: Sequence[int]) -> Message:
    """Accept what already waits on these sockets, close them, and say `stopped_listening`."""
    return {"t": "stop_listening", "keys": list(keys)}


def stopped_listening(keys: Sequence[int]) -> Message:
    return {"t": "stopped_listening", "keys": list(keys)}


def reopen() -> Message:
    """Reopen the log files."""
    return {"t": "reopen"}


def log_levels(levels: Mapping[str, str]) -> Message:
    return {"t": "log_levels", "levels": dict(levels)}


def runtime(values: Mapping[str, Plain]) -> Message:
    """The merged values of the runtime's layers have become these."""
    return {"t": "runtime", "values": dict(values)}


def overload(values: Mapping[str, float]) -> Message:
    """What the overload manager says has become this; what it does not name is 0."""
    return {"t": "overload", "values": dict(values)}


def shrink_heap() -> Message:
    """Give back memory that is free."""
    return {"t": "shrink_heap"}


def healthy(value: bool) -> Message:
    return {"t": "healthy", "value": value}


def ready(generation: int) -> Message:
    """This generation runs; a worker accepts."""
    return {"t": "ready", "generation": generation}


def refused(generation: int, problems: Sequence[ConfigProblem]) -> Message:
    """This generation cannot be run; the child goes on as before."""
    return {"t": "refused", "generation": generation, "problems": [asdict(p) for p in problems]}


def refused_problems(message: Message) -> list[ConfigProblem]:
    """The problems of a `refused` message."""
    return [ConfigProblem(**p) for p in message["problems"]]


def leaving() -> Message:
    """A signal told this worker to drain: it stops accepting, and a successor may start."""
    return {"t": "leaving"}


def drained() -> Message:
    return {"t": "drained"}


def log(level: str, namespace: str, text: str) -> Message:
    """A finished log line for the master's log."""
    return {"t": "log", "level": level, "namespace": namespace, "text": text}


def fork(number: int, kind: str) -> Message:
    """Fork a child of this kind; one descriptor goes with it, the child's end of its control link."""
    return {"t": "fork", "n": number, "kind": kind}


def forked(number: int, pid: int) -> Message:
    """The child runs; one descriptor goes with it, its pidfd.  `pid` 0: it could not be forked."""
    return {"t": "forked", "n": number, "pid": pid}


def exited(pid: int, status: int) -> Message:
    """A child has ended; `status` as `os.waitpid` gives it."""
    return {"t": "exited", "pid": pid, "status": status}


def template_ready() -> Message:
    return {"t": "template_ready"}
