"""Regular expressions of configurations.

`linear` is RE2's, for whatever clients say something to.  `ecmascript` is for Envoy's one other kind, the tags of
statistics, which are std::regex: only the admin pages use them, on names that come from the configuration.
"""

from __future__ import annotations

import re
from typing import Any

import re2

_CLASS = re.compile(r"\[:(\w+):\]")
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "lower": "a-z",
    "space": r"\s",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9a-fA-F",
}


class BadExpression(Exception):
    """`str()` of it says what is wrong."""


def linear(text: str) -> Any:
    """A compiled expression of RE2.  BadExpression; the library itself then says nothing on standard error."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        raise BadExpression(said.decode() if isinstance(said, bytes) else str(said)) from None


def ecmascript(text: str) -> Any:
    """A compiled expression with what ECMAScript has beyond RE2, such as `(?=`.  BadExpression."""
    try:
        return linear(text)
    except BadExpression as bad:
        try:
            return re.compile(_CLASS.sub(lambda found: _CLASSES.get(found[1], found[0]), text))
        except re.error:
            raise bad from None
