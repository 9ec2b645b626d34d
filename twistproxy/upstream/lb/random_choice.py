"""RANDOM: any host, each as likely as the others (Envoy: load_balancers#random)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.balancer import Balancer


class RandomChoice(Balancer):
    __slots__ = ("_hosts", "_random")

    def __init__(self, hosts: Sequence[Host], random: Random) -> None:
        self._hosts = hosts
        self._random = random.random

    def pick(self) -> Host | None:
        hosts = self._hosts
        return hosts[int(self._random() * len(hosts))] if hosts else None

    def follow(self, hosts: dict[Host, None], touched: Sequence[Host]) -> bool:
        self._hosts = list(hosts)
        return True
