"""What happens in the demo, step by step; each step is checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from twisted.internet.task import deferLater

from twistproxy.demo.client import Answer, Client, Traffic
from twistproxy.demo.configs import DOMAIN, SERVICE
from twistproxy.demo.fleet import Fleet
from twistproxy.demo.programs import together
from twistproxy.demo.screen import Screen

#: Seconds within which the edge has to follow a change of the registry.
FOLLOW = 3.0
#: Answers of each copy in a sample.
_SAMPLE = 10


class Story:
    """Told on a running fleet.  `pause` is for the reader: seconds between the parts."""

    def __init__(self, reactor: Any, fleet: Fleet, client: Client, screen: Screen, pause: float) -> None:
        self._reactor = reactor
        self._fleet = fleet
        self._client = client
        self._screen = screen
        self._pause = pause
        self._names = {number: f"copy {number} (port {copy.port})" for number, copy in fleet.copies.items()}

    async def tell(self) -> None:
        """All of it."""
        await self._spread()
        await self._headers()
        await self._admin()
        traffic = Traffic(self._reactor, self._client, self._fleet.port, users=4, pause=0.02)
        try:
            await self._scale_down(traffic)
            await self._scale_up(traffic)
            await self._lose_one(traffic)
        finally:
            await traffic.stop()

    async def watch(self) -> None:
        """Until cancelled: tell when other copies answer than before."""
        known: set[int] = set(self._fleet.copies)
        while True:
            found = set(_counts(await self._ask_edge(2 * len(self._fleet.copies))))
            if found != known:
                names = ", ".join(f"copy {number}" for number in sorted(found)) or "no copy"
                self._screen.say(f"the edge sends {DOMAIN} to {names} now")
                known = found
            await deferLater(self._reactor, 1.0)

    # ---- the parts

    async def _spread(self) -> None:
        screen, copies = self._screen, self._fleet.copies
        screen.title(f"The edge spreads {DOMAIN} over all copies, round robin")
        answers = await self._ask_edge(_SAMPLE * len(copies))
        counts = _counts(answers)
        screen.bars(counts, self._names)
        failures = [str(answer) for answer in answers if not answer.copy]
        screen.check(not failures, f"{len(answers)} requests, all answered", _some(failures))
        # Each worker of the edge goes round by itself, and starts where it likes.
        even = set(counts) == set(copies) and max(counts.values()) - min(counts.values()) <= 4
        screen.check(even, "an equal share for each copy", str(dict(sorted(counts.items()))))
        await self._breathe()

    async def _headers(self) -> None:
        screen, fleet = self._screen, self._fleet
        screen.title("What a request looks like when it arrives")
        answer = await self._client.ask(fleet.port, "/hello", {"x-request-id": "made-by-the-caller"})
        seen = answer.body.get("headers", {})
        for name in (
            "host",
            "x-request-id",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-envoy-expected-rq-timeout-ms",
        ):
            screen.say(f"{name}: {seen.get(name, '-')}")
        passed = seen.get("x-request-id") == "made-by-the-caller"
        screen.check(
            passed, "the caller's x-request-id reached the application", str(seen.get("x-request-id"))
        )
        screen.check("x-forwarded-for" in seen, "the edge told who asks (x-forwarded-for)", "it did not")
        copy = fleet.copies[1]
        direct = await self._client.ask(copy.port, "/", fresh=True)
        seen = direct.body.get("headers", {})
        missing = [
            n
            for n in ("x-request-id", "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms")
            if n not in seen
        ]
        screen.check(
            not missing, "a sidecar adds its headers to a request", f"{direct}, without {', '.join(missing)}"
        )
        told = (
            direct.headers.get("server") == "twistproxy" and "x-envoy-upstream-service-time" in direct.headers
        )
        screen.check(told, "and to the answer (server, x-envoy-upstream-service-time)", str(direct.headers))
        await self._breathe()

    async def _admin(self) -> None:
        screen, fleet = self._screen, self._fleet
        screen.title("The edge's admin page /clusters lists what it knows")
        page = await self._client.ask(fleet.admin_port, f"/clusters?filter={DOMAIN}", fresh=True)
        lines = [
            line for line in page.text.splitlines() if "::rq_total::" in line or "::health_flags::" in line
        ]
        for line in lines[:8]:
            screen.say(line)
        await self._admin_lists(fleet.copies)
        await self._breathe()

    async def _scale_down(self, traffic: Traffic) -> None:
        copies = self._fleet.copies
        stay = list(copies)[: len(copies) // 2]
        self._screen.title(f"The service is scaled down: {len(copies)} copies become {len(stay)}")
        self._screen.say("first they leave the registry, then they are stopped; users keep asking")
        await self._follow(traffic, stay)
        gone = [copy for number, copy in copies.items() if number not in stay]
        await together(*(copy.stop() for copy in gone))
        await deferLater(self._reactor, 0.5)
        await self._no_failure(traffic)

    async def _scale_up(self, traffic: Traffic) -> None:
        copies = self._fleet.copies
        self._screen.title(f"The service is scaled up again: {len(copies)} copies")
        new = [copy for copy in copies.values() if not copy.running]
        await together(*(copy.start() for copy in new))
        await self._follow(traffic, copies)
        await deferLater(self._reactor, 0.5)
        await self._no_failure(traffic)

    async def _lose_one(self, traffic: Traffic) -> None:
        screen, copies = self._screen, self._fleet.copies
        lost = max(copies)
        screen.title(f"Copy {lost} is killed, sidecar and all, without a word to the registry")
        copies[lost].kill()
        await deferLater(self._reactor, 1.0)
        lap = traffic.lap()
        screen.say(f"for a second, {len(lap.failures)} of {lap.total} requests fail: {_some(lap.failures)}")
        share = len(lap.failures) / max(lap.total, 1)
        expected = 0 < share < 0.5
        screen.check(expected, "only the share of the copy that was lost fails", f"{share:.0%} of all do")
        screen.say("now it is taken out of the registry")
        await self._follow(traffic, [number for number in copies if number != lost])
        traffic.lap()
        await deferLater(self._reactor, 1.0)
        await self._no_failure(traffic)
        screen.title(f"Copy {lost} comes back")
        await copies[lost].start()
        await self._follow(traffic, copies)
        await self._no_failure(traffic)

    # ---- what they are made of

    async def _follow(self, traffic: Traffic, numbers: Collection[int]) -> None:
        """Register these copies, and see that the edge sends to exactly these within the time."""
        fleet, screen = self._fleet, self._screen
        fleet.register(numbers)
        changed = self._reactor.seconds()
        names = ", ".join(map(str, sorted(numbers)))
        while True:
            began = self._reactor.seconds()
            answers = await self._ask_edge(4 * len(fleet.copies))
            for answer in answers:
                traffic.count(answer)
            answered = set(_counts(answers))
            followed = answered == set(numbers) and all(answer.copy for answer in answers)
            if followed or began - changed > FOLLOW:
                break
            await deferLater(self._reactor, 0.05)
        text = f"the registry changed; {self._reactor.seconds() - changed:.1f} s later only copies {names} answer"
        failures = [str(answer) for answer in answers if not answer.copy]
        found = f"after {FOLLOW:g} s copies {', '.join(map(str, sorted(answered))) or 'none'} do; {_some(failures)}"
        if screen.check(followed, text, found):
            counts = _counts(await self._ask_edge(_SAMPLE * len(numbers)))
            screen.bars(counts, self._names)
            screen.check(set(counts) == set(numbers), "and all of them do", str(dict(counts)))
            await self._admin_lists(numbers)
        await self._breathe()

    async def _no_failure(self, traffic: Traffic) -> None:
        lap = traffic.lap()
        held = lap.total > 0 and not lap.failures
        what = f"of {lap.total} requests meanwhile"
        self._screen.check(held, f"{what} none failed", f"{len(lap.failures)} failed: {_some(lap.failures)}")
        await self._breathe()

    async def _admin_lists(self, numbers: Collection[int]) -> None:
        """The edge's admin page lists the endpoints of these copies, and no others."""
        page = await self._client.ask(self._fleet.admin_port, "/clusters", fresh=True)
        found = {
            int(part[1].rpartition(":")[2])
            for part in (line.split("::") for line in page.text.splitlines())
            if part[0] == DOMAIN and part[1].startswith("127.0.0.1:")
        }
        wanted = {self._fleet.copies[number].port for number in numbers}
        held = page.status == 200 and found == wanted
        self._screen.check(
            held, f"/clusters of the edge has these {len(wanted)} endpoints", f"{sorted(found)}"
        )

    async def _ask_edge(self, count: int) -> list[Answer]:
        """So many requests, each on a connection of its own, so that all workers of the edge have their share."""
        answers: list[Answer] = []
        for _ in range(0, count, 4):
            answers += await together(*(self._client.ask(self._fleet.port, fresh=True) for _ in range(4)))
        return answers

    async def _breathe(self) -> None:
        await deferLater(self._reactor, self._pause)


def addresses(fleet: Fleet, screen: Screen) -> None:
    """What the user may try while everything runs."""
    copy = fleet.copies[1]
    screen.title("Try it")
    screen.command(f"curl -H 'Host: {DOMAIN}' http://127.0.0.1:{fleet.port}/", "through the edge")
    screen.command(f"curl -H 'Host: {DOMAIN}' http://127.0.0.1:{copy.port}/", "the sidecar of copy 1")
    screen.command(f"curl http://127.0.0.1:{copy.app_port}/", "copy 1 itself")
    screen.command(f"curl http://127.0.0.1:{fleet.registry_port}/v1/registration/{SERVICE}", "the registry")
    screen.title("Look at it")
    screen.say(f"http://127.0.0.1:{fleet.admin_port}/               admin pages of the edge")
    screen.say(f"http://127.0.0.1:{fleet.admin_port}/clusters       its endpoints and what they did")
    screen.say(f"http://127.0.0.1:{fleet.admin_port}/stats?usedonly its statistics")
    screen.say(f"http://127.0.0.1:{copy.admin_port}/               admin pages of the sidecar of copy 1")
    screen.say(f"{fleet.directory}   configurations, logs, and registry.yaml, which you may edit")


def _counts(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.copy for answer in answers if answer.copy)


def _some(failures: list[str]) -> str:
    """The different ones, the most frequent first."""
    return "; ".join(f"{count} x {text}" for text, count in Counter(failures).most_common(3))
