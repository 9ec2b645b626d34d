from __future__ import annotations

import json

from twistproxy.errors import ConfigProblem
from twistproxy.ipc import messages
from twistproxy.model.server_options import ServerOptions


def test_a_configuration_survives_the_journey() -> None:
    config = messages.ConfigMessage(
        generation=3,
        bootstrap=b"\x00\xff\n",
        source="envoy.yaml",
        options=ServerOptions(config_path="envoy.yaml", concurrency=4, drain_time=2.5),
        run_dir="/run/x",
        slot=1,
        sockets=(messages.PassedSocket(7, "a", "127.0.0.1:80", True),),
        healthy=False,
        log_levels={"worker": "debug"},
        column=1,
        rows={"app": 3},
    )
    assert messages.ConfigMessage.decode(json.loads(json.dumps(config.encode()))) == config


def test_problems_survive_the_journey() -> None:
    problems = [ConfigProblem("a.b", "wrong", "envoy.yaml", 3, 4), ConfigProblem("", "worse")]
    message = json.loads(json.dumps(messages.refused(2, problems)))
    assert messages.refused_problems(message) == problems


def test_every_message_says_what_it_is() -> None:
    made = [
        messages.ping(1),
        messages.pong(1, 2.5),
        messages.stats(1, "counts"),
        messages.snapshot(1, {}),
        messages.drain(1.0),
        messages.announce_drain(),
        messages.stop(),
        messages.stop_listening([1]),
        messages.stopped_listening([1]),
        messages.reopen(),
        messages.log_levels({}),
        messages.healthy(True),
        messages.ready(1),
        messages.refused(1, []),
        messages.leaving(),
        messages.drained(),
        messages.log("info", "n", "t"),
        messages.fork(1, "worker"),
        messages.forked(1, 2),
        messages.exited(1, 2),
        messages.template_ready(),
    ]
    kinds = [message["t"] for message in made]
    assert len(set(kinds)) == len(kinds)
