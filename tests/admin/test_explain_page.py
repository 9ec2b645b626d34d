from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from twistproxy.admin.answer import Answer, PageError, parse_query
from twistproxy.admin.commands import BY_PATH
from twistproxy.admin.explain_page import explain_page, explanation_text

from .fakes import FakeView

REPLY = {"status": 404, "flags": "NR", "details": "route_not_found", "headers": [], "body": ""}
LISTENER = {"name": "l", "address": "127.0.0.1:1", "filter_chain": "", "http_filters": ["router"]}
ANSWER = {"summary": "It is answered.", "listener": LISTENER, "reply": REPLY}


class View(FakeView):
    def __init__(self, answer: dict[str, Any] | None) -> None:
        super().__init__()
        self.answer = answer
        self.questions: list[dict[str, Any]] = []

    def explain(self, question: dict[str, Any]) -> Deferred[dict[str, Any]] | None:
        self.questions.append(question)
        return None if self.answer is None else succeed(self.answer)


def get(view: View, query: str) -> Answer:
    found = explain_page(view, parse_query(query, BY_PATH["explain"].form))
    if isinstance(found, Answer):
        return found
    answers: list[Answer] = []
    found.addCallback(answers.append)
    return answers[0]


def test_the_question() -> None:
    view = View(ANSWER)
    get(
        view,
        "path=/x%3Fq%3D1&host=a&method=PUT&header=X-One:1&header=x-two:+a:b%2Bc&listener=l&from=192.0.2.1",
    )
    assert view.questions == [
        {
            "method": "PUT",
            "host": "a",
            "path": "/x?q=1",
            "headers": [["X-One", "1"], ["x-two", "a:b+c"]],
            "listener": "l",
            "from": "192.0.2.1",
        }
    ]
    get(view, "path=http://b.example:8080%3Fq")
    assert (view.questions[1]["host"], view.questions[1]["path"]) == ("b.example:8080", "/?q")


def test_the_question_for_a_cluster() -> None:
    told = {
        "name": "c",
        "lb_policy": "RANDOM",
        "hosts": [{"address": "1.2.3.4:5", "verdict": "out: sick"}],
        "hosts_left_out": 0,
        "notes": [],
        "in_use": ["default priority: 1 requests, of 2"],
    }
    view = View({"summary": "It has one.", "cluster": told})
    text = get(view, "cluster=c").body
    assert view.questions == [{"cluster": "c"}]
    assert text.startswith("It has one.\n\ncluster c (RANDOM)")
    assert "1.2.3.4:5  out: sick" in text
    assert "default priority: 1 requests, of 2" in text


@pytest.mark.parametrize("query", ["", "host=a", "path=/&header=x", "path=/&format=xml"])
def test_questions_that_are_none(query: str) -> None:
    with pytest.raises(PageError) as caught:
        get(View(ANSWER), query)
    assert caught.value.answer.status == 400


def test_formats() -> None:
    text = get(View(ANSWER), "path=/")
    assert text.body.startswith("It is answered.\n")
    assert "route_not_found" in text.body
    answer = get(View(ANSWER), "path=/&format=json")
    assert answer.content_type == "application/json"
    assert json.loads(answer.body) == ANSWER


def test_nobody_to_ask() -> None:
    assert get(View(None), "path=/").status == 503
    assert get(View({}), "path=/").status == 503
    refused = get(View({"error": "no listener is called 'x'"}), "path=/")
    assert (refused.status, refused.body) == (400, "no listener is called 'x'\n")


def test_text_of_everything() -> None:
    route = {"number": 1, "name": "r", "match": "the path is '/'", "taken": False, "failed": "not so"}
    text = explanation_text(
        {
            **ANSWER,
            "virtual_host": {"route_configuration": "rc", "name": "v", "domain": "*"},
            "routes": [route, {**route, "number": 2, "taken": True}],
            "routes_left_out": 3,
            "route": {"action": "forward", "retry_on": None, "notes": ["one", "two"]},
            "request": {"method": "GET", "path": "/", "host": "a", "headers": [["x", "1"]]},
            "cluster": {
                "name": "c",
                "lb_policy": "RANDOM",
                "hosts": [{"address": "1.2.3.4:5", "verdict": "out: sick"}],
                "hosts_left_out": 7,
                "notes": ["panic"],
            },
        }
    )
    for part in (
        "1. the path is '/' (r): no: not so",
        "2. the path is '/' (r): TAKEN",
        "and 3 before",
        "out: sick",
    ):
        assert part in text
    for part in ("notes: two", "  x: 1\n", "and 7 more", "panic"):
        assert part in text
    assert "retry on" not in text
