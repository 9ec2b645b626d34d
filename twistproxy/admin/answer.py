"""What a page gets and gives: a parsed query and an answer, without any HTTP machinery."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import re2

TEXT = "text/plain; charset=UTF-8"
PLAIN = "text/plain"
HTML = "text/html; charset=UTF-8"
JSON = "application/json"

#: What the `server` header says.
SERVER_NAME = "twistproxy"


class Query(dict[str, str]):
    """The first value of each query parameter, percent-decoded; `every` has the others too."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        self._pairs = tuple(pairs)
        for name, value in self._pairs:
            self.setdefault(name, value)

    def every(self, name: str) -> list[str]:
        """All values of one parameter, in order."""
        return [value for key, value in self._pairs if key == name]


@dataclass(frozen=True, slots=True)
class Answer:
    """A page's answer.  `content_type` is one of the constants here."""

    body: str
    status: int = 200
    content_type: str = TEXT


class PageError(Exception):
    """A request that a page cannot serve; `answer` is what to say."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body)
        self.answer = answer


def bad_request(text: str, content_type: str = TEXT) -> PageError:
    """A 400 with this text."""
    return PageError(Answer(text, 400, content_type))


def parse_query(text: str, form: bool = False) -> Query:
    """Split a query string.  No "=" means empty.  "+" stays a plus, as for Envoy; in a `form` it is a space."""
    if form:
        text = text.replace("+", "%20")
    parts = (part.partition("=") for part in text.split("&"))
    return Query((_decode(name), _decode(value)) for name, _, value in parts if name)


def _decode(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def json_page(value: Any) -> Answer:
    """JSON with an indent of one and a newline at the end, as Envoy prints messages."""
    return Answer(json.dumps(value, indent=1, ensure_ascii=False) + "\n", content_type=JSON)


def compile_regex(text: str) -> Any:
    """An RE2 expression with `search` and `fullmatch`.  Raises re2.error, whose text is RE2's own."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(text, options)


def regex_error(error: Exception) -> str:
    """RE2's message, "missing ): (" for example."""
    message = error.args[0] if error.args else ""
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message)
