from __future__ import annotations

import json
from typing import Any

from twistproxy.model.address import PipeAddress
from twistproxy.model.endpoint import Endpoint, Locality

from .doubles import NOT_OK, OK, A, World, settings

LOG = "/log"


def kinds(world: World) -> list[str]:
    return [name for one in events(world) for name in one if name.endswith(("_event", "_host"))]


def events(world: World) -> list[dict[str, Any]]:
    return [json.loads(line) for line in world.logs.files[LOG].lines]


def through(world: World, *answers: bytes) -> World:
    world.publish(A)
    world.clock.advance(0)
    for answer in answers:
        assert world.answer(answer) == 1
        world.clock.advance(10)
    return world


def test_what_is_logged() -> None:
    world = through(World(settings(event_logs=(LOG,))), NOT_OK, NOT_OK, OK, OK, OK, NOT_OK)
    assert kinds(world) == ["health_check_failure_event", "add_healthy_event", "eject_unhealthy_event"]


def test_all_of_them() -> None:
    start = settings(event_logs=(LOG,), log_failures=True, log_successes=True)
    world = through(World(start), OK, OK, NOT_OK, NOT_OK, OK, OK)
    assert kinds(world) == [
        "add_healthy_event",
        "successful_health_check_event",
        "eject_unhealthy_event",
        "health_check_failure_event",
        "health_check_failure_event",
        "successful_health_check_event",
        "add_healthy_event",
    ]
    assert events(world)[3]["health_check_failure_event"] == {
        "failure_type": "ACTIVE",
        "first_check": False,
        "http_status_code": 503,
    }


def test_degraded() -> None:
    world = through(
        World(settings(event_logs=(LOG,))), OK.replace(b"\r\n\r\n", b"\r\nx-envoy-degraded:\r\n\r\n"), OK
    )
    assert kinds(world) == ["add_healthy_event", "degraded_healthy_host", "no_longer_degraded_host"]


def test_a_line() -> None:
    world = World(settings(event_logs=(LOG,)))
    endpoint = Endpoint(
        PipeAddress("/p"), locality=Locality("r", "z", "s"), metadata='{"envoy.lb":{"a":"ü"}}'
    )
    world.store.publish("app", [endpoint])
    world.clock.advance(0)
    world.answer()
    assert world.logs.files[LOG].lines == [
        '{"health_checker_type":"HTTP","host":{"pipe":{"path":"/p","mode":0}},"cluster_name":"app",'
        '"add_healthy_event":{"first_check":true},"timestamp":"2023-11-14T22:13:20Z",'
        '"metadata":{"filter_metadata":{"envoy.lb":{"a":"ü"}},"typed_filter_metadata":{}},'
        '"locality":{"region":"r","zone":"z","sub_zone":"s"}}\n'
    ]


def test_milliseconds() -> None:
    world = World(settings(event_logs=(LOG,)))
    world.clock.advance(0.25)
    through(world, OK)
    assert events(world)[0]["timestamp"] == "2023-11-14T22:13:20.250Z"
