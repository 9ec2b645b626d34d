"""Who a request comes from, when proxies before us tell it (Envoy: http_conn_man/headers#x-forwarded-for and
envoy.http.original_ip_detection).

Addresses are text without a port; "" stands for none.  Nothing here changes a request.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Protocol

from twistproxy.http.message import RequestHead
from twistproxy.model.address import Cidr
from twistproxy.model.http_manager import HeaderDetection, XffDetection

_XFF = b"x-forwarded-for"


@lru_cache(4096)
def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(4096)
def is_loopback(text: str) -> bool:
    return is_address(text) and ipaddress.ip_address(text).is_loopback


@lru_cache(4096)
def within(text: str, ranges: tuple[Cidr, ...]) -> bool:
    """Whether the address is in any of `ranges`."""
    if not is_address(text):
        return False
    address = ipaddress.ip_address(text)
    return any(address in one.network() for one in ranges)


def forwarded_address(forwarded: bytes, back: int) -> str:
    """The address `back` places before the last one of x-forwarded-for; "" too if that place holds no address."""
    places = forwarded.split(b",")
    return _address(places[-1 - back]) if back < len(places) else ""


def last_untrusted(forwarded: bytes, trusted: tuple[Cidr, ...]) -> str:
    """The last address of x-forwarded-for that is not `trusted`, or the first of all if all are."""
    address = ""
    for place in reversed(forwarded.split(b",")):
        address = _address(place)
        if not within(address, trusted):
            break
    return address


def _address(place: bytes) -> str:
    text = place.strip().decode("latin-1")
    return text if is_address(text) else ""


class Downstream(Protocol):
    """The connection that a request came on: its address ("" for a Unix socket), our port, whether it has TLS."""

    remote_host: str
    tls: bool

    @property
    def local_port(self) -> int: ...


class Client:
    """What a request's head tells of its sender, beyond the connection that it came on.

    forwarded  x-forwarded-for, whose last address is the client's; looked at only when somebody asks
    address    the client's, if it is known already
    reject     the status to refuse the request with since there is no address, or 0
    no_route   no route matches, whatever they are
    trace      the name of the statistic of why it is traced, or is not; "" without tracing
    """

    __slots__ = ("address", "forwarded", "no_route", "reject", "trace")

    def __init__(
        self, forwarded: bytes = b"", address: str = "", reject: int = 0, no_route: bool = False
    ) -> None:
        self.forwarded = forwarded
        self.address = address
        self.reject = reject
        self.no_route = no_route
        self.trace = ""

    def host(self) -> str:
        """The address, "" if it is the connection's."""
        return self.address or (forwarded_address(self.forwarded, 0) if self.forwarded else "")


class Found:
    """What a detector says.

    address     the client's, or "": the next detector is asked
    may_be_internal   whether the address may count as one of `internal_address_config`
    append      whether the direct downstream is to be added to x-forwarded-for
    reject      the status to refuse the request with, or 0
    """

    __slots__ = ("address", "append", "may_be_internal", "reject")

    def __init__(
        self, address: str, may_be_internal: bool = False, append: bool = False, reject: int = 0
    ) -> None:
        self.address = address
        self.may_be_internal = may_be_internal
        self.append = append
        self.reject = reject


class XffDetector:
    """envoy.http.original_ip_detection.xff, and what there is without any extension."""

    __slots__ = ("_append", "_hops", "_trusted")

    def __init__(self, settings: XffDetection) -> None:
        self._hops = settings.hops
        self._trusted = settings.trusted
        self._append = settings.append

    def detect(self, head: RequestHead, remote: str) -> Found:
        """`remote`: the address of the direct downstream, "" for a Unix socket."""
        trusted = self._trusted
        if trusted and not within(remote, trusted):
            return Found("", append=True)
        forwarded = head.get(_XFF)
        if forwarded is None:
            return Found("", append=self._append)
        if trusted:
            address = last_untrusted(forwarded, trusted)
        else:
            address = forwarded_address(forwarded, self._hops)
        return Found(address, b"," not in forwarded, self._append)


class HeaderDetector:
    """envoy.http.original_ip_detection.custom_header"""

    __slots__ = ("_may_be_internal", "_name", "_reject")

    def __init__(self, settings: HeaderDetection) -> None:
        self._name = settings.name
        self._may_be_internal = settings.may_be_internal
        self._reject = settings.reject

    def detect(self, head: RequestHead, remote: str) -> Found:
        values = head.get_all(self._name)
        text = values[0].decode("latin-1") if values else ""
        if is_address(text):
            return Found(text, self._may_be_internal)
        return Found("", reject=self._reject)
