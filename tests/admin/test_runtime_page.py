"""/runtime and /runtime_modify."""

from __future__ import annotations

import json

from .fakes import Client, FakeView


def test_values_layer_by_layer() -> None:
    view = FakeView()
    view.runtime = [("base", {"b": "2", "a": "1"}), ("more", {"b": "3", "c": ""}), ("admin", {"a": ""})]
    reply = Client(view).get("/runtime")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert json.loads(reply.body) == {
        "layers": ["base", "more", "admin"],
        "entries": {
            "a": {"layer_values": ["1", "", ""], "final_value": "1"},
            "b": {"layer_values": ["2", "3", ""], "final_value": "3"},
            "c": {"layer_values": ["", "", ""], "final_value": ""},
        },
    }


def test_modify_by_query_or_form() -> None:
    view = FakeView()
    assert Client(view).post("/runtime_modify?a=1&b=&c").body == "OK\n"
    assert Client(view).post("/runtime_modify", "d=x%20y").body == "OK\n"
    assert [values for _, values in view.runtime] == [{"a": "1", "b": "", "c": ""}, {"d": "x y"}]


def test_modify_needs_something_to_modify() -> None:
    reply = Client(FakeView()).post("/runtime_modify")
    assert reply.status == 400
    assert reply.body.startswith("usage: /runtime_modify?key1=value1")


def test_what_speaks_against_it_is_told() -> None:
    view = FakeView()
    view.runtime_problem = "No admin layer specified"
    reply = Client(view).post("/runtime_modify?a=1")
    assert (reply.status, reply.body) == (503, "No admin layer specified")


def test_modify_is_a_post() -> None:
    assert Client(FakeView()).get("/runtime_modify?a=1").status == 405
