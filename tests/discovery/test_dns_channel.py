"""Questions and answers on a fake network: who is asked when, and what counts as an answer."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.names import dns
from twisted.python.failure import Failure

from twistproxy.discovery.dns_channel import DnsChannel, QueryFailed
from twistproxy.discovery.dns_wire import AAAA, A, Reply
from twistproxy.model.discovery import CaresResolver

ONE = (("192.0.2.1", 53),)
TWO = (("192.0.2.1", 53), ("192.0.2.2", 53))


class Port:
    """A UDP socket."""

    def __init__(self, net: Net, protocol: Any, interface: str) -> None:
        self.net = net
        self.protocol = protocol
        self.interface = interface
        self.peer = ("", 0)
        self.open = True

    def connect(self, host: str, port: int) -> None:
        if host in self.net.unreachable:
            raise OSError("unreachable")
        self.peer = (host, port)

    def write(self, data: bytes) -> None:
        self.net.asked.append(Asked(self, data))

    def stopListening(self) -> None:
        self.open = False


class Asked:
    """A question that was sent."""

    def __init__(self, by: Any, data: bytes) -> None:
        self.by = by
        self.message = dns.Message()
        self.message.fromStr(data)

    @property
    def host(self) -> str:
        return str(self.by.peer[0])

    @property
    def edns(self) -> bool:
        return bool(self.message.additional)

    def reply(self, *addresses: str, code: int = 0, truncated: bool = False, **other: Any) -> bytes:
        made = dns.Message(
            id=other.get("id", self.message.id), answer=1, rCode=code, trunc=truncated, maxSize=0
        )
        made.queries = [dns.Query(other.get("name", "app.test"), self.message.queries[0].type)]
        made.answers = [
            dns.RRHeader("app.test", dns.A, dns.IN, 60, dns.Record_A(address, 60)) for address in addresses
        ]
        return bytes(made.toStr())

    def answer(self, *addresses: str, **options: Any) -> None:
        self.give(self.reply(*addresses, **options))

    def give(self, data: bytes) -> None:
        if isinstance(self.by, Port):
            self.by.protocol.datagramReceived(data, self.by.peer)
        else:
            self.by.protocol.dataReceived(len(data).to_bytes(2, "big") + data)


class Connection:
    """A TCP connection that is asked for."""

    def __init__(self, net: Net, host: str, port: int, factory: Any) -> None:
        self.net = net
        self.peer = (host, port)
        self.factory = factory
        self.protocol: Any = None
        self.transport = StringTransport()
        self.gone = False

    def open(self) -> Asked:
        self.protocol = self.factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        return Asked(self, self.transport.value()[2:])

    def disconnect(self) -> None:
        self.gone = True
        if self.protocol is None:
            self.factory.clientConnectionFailed(self, Failure(ConnectionRefusedError()))
        else:
            self.protocol.connectionLost()


class Net(Clock):
    """A reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.ports: list[Port] = []
        self.connections: list[Connection] = []
        self.unreachable: set[str] = set()

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> Port:
        assert port == 0
        self.ports.append(Port(self, protocol, interface))
        return self.ports[-1]

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float) -> Connection:
        self.connections.append(Connection(self, host, port, factory))
        return self.connections[-1]


class World:
    def __init__(
        self, servers: tuple[tuple[str, int], ...] = ONE, chance: float = 0.5, **settings: Any
    ) -> None:
        self.net = Net()
        self.channel = DnsChannel(self.net, CaresResolver(**settings), lambda: chance)
        self.channel.use(servers)
        self.found: list[Any] = []

    def ask(self, name: str = "app.test", kind: int = A) -> Asked:
        """The question as it went out over UDP."""
        self.channel.ask(name, kind).addBoth(self.found.append)
        return self.net.asked[-1]

    @property
    def last(self) -> Asked:
        return self.net.asked[-1]

    def addresses(self) -> list[Any]:
        """The addresses of the only answer."""
        [reply] = self.found
        assert isinstance(reply, Reply)
        assert not self.net.getDelayedCalls()
        assert not any(port.open for port in self.net.ports)
        return [record.data for record in reply.answers]

    def failure(self) -> QueryFailed:
        [failure] = self.found
        assert isinstance(failure.value, QueryFailed)
        assert not self.net.getDelayedCalls()
        assert not any(port.open for port in self.net.ports)
        return failure.value


def test_an_answer() -> None:
    world = World()
    asked = world.ask("App.test.")
    assert asked.edns
    assert asked.host == "192.0.2.1"
    asked.answer("10.0.0.1", "10.0.0.2")
    assert world.addresses() == ["10.0.0.1", "10.0.0.2"]


def test_no_such_name_is_an_answer() -> None:
    world = World()
    world.ask().answer(code=3)
    assert world.addresses() == []


@pytest.mark.parametrize("wrong", [{"id": -1}, {"name": "other.test"}])
def test_what_does_not_answer_the_question_is_ignored(wrong: dict[str, Any]) -> None:
    world = World()
    asked = world.ask()
    if "id" in wrong:
        wrong = {"id": (asked.message.id + 1) % 65536}
    asked.answer("10.6.6.6", **wrong)
    asked.give(b"")
    assert not world.found
    asked.answer("10.0.0.1")
    assert world.addresses() == ["10.0.0.1"]


@pytest.mark.parametrize(("code", "reason"), [(2, "SERVFAIL"), (4, "NOTIMP"), (5, "REFUSED")])
def test_servers_that_do_not_answer_are_asked_in_turn(code: int, reason: str) -> None:
    world = World(TWO, tries=2)
    world.ask()
    for at in range(4):
        assert len(world.net.asked) == at + 1
        world.last.answer(code=code)
    assert [asked.host[-1] for asked in world.net.asked] == ["1", "2", "1", "2"]
    failure = world.failure()
    assert (str(failure), failure.timed_out) == (reason, False)


@pytest.mark.parametrize(("code", "reason"), [(1, "FORMERR"), (9, "code 9")])
def test_other_codes_end_it(code: int, reason: str) -> None:
    world = World(TWO)
    world.ask().answer(code=code)
    if code == 1:
        # It may be that the server does not know EDNS.
        assert not world.last.edns
        world.last.answer(code=code)
    assert str(world.failure()) == reason


def test_without_edns() -> None:
    world = World()
    world.ask().answer(code=1)
    assert world.last.host == "192.0.2.1"
    world.last.answer("10.0.0.1")
    assert world.addresses() == ["10.0.0.1"]


def test_time_limits_double_from_round_to_round() -> None:
    world = World(TWO, timeout=5.0, tries=2)
    world.ask()
    for limit in (5, 5, 10, 10):
        before = len(world.net.asked)
        world.net.advance(limit - 0.01)
        assert len(world.net.asked) == before
        assert not world.found
        world.net.advance(0.01)
    failure = world.failure()
    assert (failure.timeouts, failure.timed_out) == (4, True)


def test_time_limits_follow_what_answers_take() -> None:
    world = World(tries=1)
    for _ in range(3):
        asked = world.ask()
        world.net.advance(0.1)
        asked.answer("10.0.0.1")
    world.found.clear()
    world.ask()
    world.net.advance(0.49)
    assert not world.found
    world.net.advance(0.02)
    assert world.failure().timed_out


def test_an_answer_that_comes_after_another_server_was_asked() -> None:
    """It is not waited for any more: the socket is closed."""
    world = World(TWO, timeout=1.0)
    first = world.ask()
    world.net.advance(1)
    assert not first.by.open
    world.last.answer("10.0.0.2")
    assert world.addresses() == ["10.0.0.2"]


def test_the_server_that_works_comes_first_and_the_other_gets_a_chance() -> None:
    world = World(TWO, chance=0.05)
    world.ask().answer(code=2)
    world.last.answer("10.0.0.1")
    assert world.ask().host == "192.0.2.2"
    world.last.answer("10.0.0.1")
    world.net.advance(5)
    assert world.ask().host == "192.0.2.1"
    world.last.answer("10.0.0.1")
    assert world.ask().host == "192.0.2.1"
    world.last.answer()


def test_rotation() -> None:
    world = World(TWO, rotate=True)
    hosts = []
    for _ in range(4):
        asked = world.ask()
        hosts.append(asked.host[-1])
        asked.answer("10.0.0.1")
    assert hosts == ["2", "1", "2", "1"]


def test_truncated_answers_come_over_tcp() -> None:
    world = World()
    world.ask().answer(truncated=True)
    [connection] = world.net.connections
    assert connection.peer == ONE[0]
    connection.open().answer("10.0.0.1")
    assert world.addresses() == ["10.0.0.1"]
    assert connection.gone


def test_tcp_only_and_its_failures() -> None:
    world = World(tcp_only=True, tries=5, timeout=1.0)
    world.channel.ask("app.test", A).addBoth(world.found.append)
    net = world.net
    net.connections[0].factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    net.connections[1].open()
    net.connections[1].protocol.connectionLost()
    net.connections[2].open().answer("10.0.0.1", name="other.test")
    net.connections[3].open().answer(truncated=True)
    assert str(world.failure()) == "truncated"
    assert not world.net.asked


def test_a_connection_that_is_not_made_in_time() -> None:
    world = World(tcp_only=True, tries=2, timeout=1.0)
    world.channel.ask("app.test", A).addBoth(world.found.append)
    world.net.advance(1)
    world.net.advance(2)
    assert len(world.net.connections) == 2
    assert all(connection.gone for connection in world.net.connections)
    assert world.failure().timeouts == 2


def test_refused_and_unreachable() -> None:
    world = World(TWO, tries=1)
    world.net.unreachable.add("192.0.2.1")
    world.ask()
    assert world.last.host == "192.0.2.2"
    world.last.by.protocol.connectionRefused()
    assert str(world.failure()) == "connection refused"


def test_a_socket_that_the_reactor_closes_for_an_error() -> None:
    world = World(TWO, tries=1)
    port = world.ask().by
    world.ask()
    port.open = False
    port.protocol.stopProtocol()
    assert [asked.host for asked in world.net.asked[2:]] == ["192.0.2.2"] * 2
    for asked in world.net.asked[2:]:
        asked.answer("10.0.0.1")
    assert len(world.found) == 2
    assert not any(each.open for each in world.net.ports)


def test_questions_share_sockets_but_not_many_do() -> None:
    world = World(socket_queries=2)
    asked = [world.ask() for _ in range(5)]
    assert len({each.by for each in asked}) == 3
    assert len({(each.by, each.message.id) for each in asked}) == 5
    for each in asked:
        each.answer("10.0.0.1")
    assert not any(port.open for port in world.net.ports)
    assert len(world.found) == 5
    world.ask()
    assert len(world.net.ports) == 4
    world.last.answer()


def test_ipv6_servers_have_ipv6_sockets() -> None:
    world = World((("2001:db8::53", 53),))
    world.ask(kind=AAAA)
    assert world.net.ports[0].interface == "::"
    world.channel.close()
    assert str(world.failure()) == "closed"


def test_what_follows_from_the_end_asks_nobody() -> None:
    world = World()
    world.channel.ask("a.test", AAAA).addErrback(lambda _: world.channel.ask("a.test", A)).addBoth(
        world.found.append
    )
    world.channel.close()
    assert str(world.failure()) == "closed"
    assert len(world.net.asked) == 1
    assert not world.net.getDelayedCalls()


def test_malformed_answers_and_names() -> None:
    world = World(tries=1)
    asked = world.ask()
    asked.give(asked.reply("10.0.0.1")[:20])
    assert str(world.failure()) == "malformed answer"
    world = World()
    world.channel.ask("a..b", A).addBoth(world.found.append)
    assert "malformed name" in str(world.failure())


def test_servers_that_stay_keep_what_is_known_of_them() -> None:
    world = World(TWO)
    world.ask().answer(code=2)
    world.last.answer()
    world.channel.use((*TWO, ("192.0.2.3", 53)))
    assert world.ask().host == "192.0.2.2"
    world.last.answer()
