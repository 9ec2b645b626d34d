"""Access log formats, compiled (Envoy: docs/root/configuration/observability/access_log/usage).

A format becomes one template with a place for every operator; a line is the template filled in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from typing import Any

from twistproxy.model.access_log import LogFormat
from twistproxy.observe.log_fields import without_query
from twistproxy.observe.log_operators import NO_EXTRA, Extra, operator
from twistproxy.observe.log_syntax import Clocks, FormatError, Json, Operator, Spec, as_json, as_text

__all__ = ["DEFAULT_FORMAT", "Clocks", "FormatError", "compile_format", "compile_json", "compile_log_format"]

#: Envoy's default format string.
DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n'
)

#: A stream to its text in a log.  Bytes that are no UTF-8 are in it as surrogates (`surrogateescape`).
Render = Callable[[Any], str]

_COMMAND = re.compile(r"%(?:%|([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%)")
_LARGEST_LIMIT = 2**64
#: Operators whose values may be structures.
_STRUCTURED = frozenset(("METADATA", "DYNAMIC_METADATA", "CLUSTER_METADATA", "UPSTREAM_METADATA", "COALESCE"))


def compile_log_format(form: LogFormat | None, clocks: Clocks, extra: Extra = NO_EXTRA) -> Render:
    """What is configured, compiled; None is Envoy's default format.  Raises `FormatError`."""
    if form is None:
        return compile_format(DEFAULT_FORMAT, clocks)
    if form.without_query:
        extra = {**extra, "REQ_WITHOUT_QUERY": Spec(without_query)}
    if form.json is not None:
        return compile_json(form.json, clocks, form.omit_empty, extra)
    return compile_format(form.text or "", clocks, "" if form.omit_empty else "-", extra)


def compile_format(text: str, clocks: Clocks, missing: str = "-", extra: Extra = NO_EXTRA) -> Render:
    """A function from a stream to its log text; `missing` stands where it has no value.

    Raises `FormatError` for an operator that does not exist.
    """
    template, operators = _text_parts(text, clocks, extra)
    if not operators:
        constant = template % ()
        return lambda stream: constant
    return _filled(template, operators, missing)


def _filled(template: str, operators: list[Operator], missing: str) -> Render:
    def render(stream: Any) -> str:
        return template % tuple([missing if (value := of(stream)) is None else value for of in operators])

    return render


def _parse(text: str, clocks: Clocks, extra: Extra) -> list[str | tuple[str, Operator]]:
    """Literals, and operators with their names, in their order."""
    parts: list[str | tuple[str, Operator]] = []
    at = 0
    while (start := text.find("%", at)) >= 0:
        match = _COMMAND.match(text, start)
        if match is None or (match[3] and (len(match[3]) > 20 or int(match[3]) >= _LARGEST_LIMIT)):
            raise FormatError(
                f"Incorrect configuration: {text}. Couldn't find valid command at position {start}"
            )
        if start > at:
            parts.append(text[at:start])
        name, argument, limit = match.groups()
        if name is None:
            parts.append("%")
        else:
            most = None if limit is None else int(limit)
            parts.append((name, operator(name, argument, most, clocks, extra)))
        at = match.end()
    if at < len(text):
        parts.append(text[at:])
    return parts


def _text_parts(text: str, clocks: Clocks, extra: Extra) -> tuple[str, list[Operator]]:
    template, operators = "", []
    for part in _parse(text, clocks, extra):
        if isinstance(part, str):
            template += part.replace("%", "%%")
        else:
            name, of = part
            template += "%s"
            operators.append(_texted(of) if name in _STRUCTURED else of)
    return template, operators


def _texted(of: Operator) -> Operator:
    return lambda stream: as_text(of(stream))


# ---- JSON


def compile_json(
    form: Mapping[str, Any], clocks: Clocks, omit_empty: bool = False, extra: Extra = NO_EXTRA
) -> Render:
    """A function from a stream to a line of JSON, with its newline, of the form's shape and with sorted keys.

    A string that is one operator alone becomes its value with its type, null where there is none; other strings
    become strings.  `omit_empty` leaves out what has no value.  Raises `FormatError`.
    """
    if omit_empty:
        node = _node(form, clocks, extra)

        def render(stream: Any) -> str:
            return (_evaluated(node, stream) or "{}") + "\n"

        return render
    operators: list[Operator] = []
    template = _json_template(form, clocks, extra, operators) + "\n"
    return _filled(template, operators, "null")


def _json_template(form: Any, clocks: Clocks, extra: Extra, operators: list[Operator]) -> str:
    if isinstance(form, Mapping):
        members = (
            f"{_quoted(key).replace('%', '%%')}:{_json_template(form[key], clocks, extra, operators)}"
            for key in sorted(form)
        )
        return "{" + ",".join(members) + "}"
    if isinstance(form, (list, tuple)):
        return "[" + ",".join([_json_template(one, clocks, extra, operators) for one in form]) + "]"
    if isinstance(form, str):
        leaf = _leaf(form, clocks, "-", extra)
        if isinstance(leaf, str):
            return leaf.replace("%", "%%")
        operators.append(leaf)
        return "%s"
    return as_json(form)


def _leaf(text: str, clocks: Clocks, missing: str, extra: Extra) -> str | Operator:
    """The JSON of a string of the format: a constant, or a function from the stream, to None for null."""
    parts = _parse(text, clocks, extra)
    if len(parts) == 1 and not isinstance(parts[0], str):
        return _typed(parts[0][1])
    if all(isinstance(part, str) for part in parts):
        return _quoted("".join([part for part in parts if isinstance(part, str)]))
    render = compile_format(text, clocks, missing, extra)
    return lambda stream: _quoted(render(stream))


def _typed(of: Operator) -> Operator:
    def value_of(stream: Any) -> str | None:
        value = of(stream)
        kind = type(value)
        if kind is str:
            return encode_basestring(value) if value.isascii() else _quoted(value)
        if kind is int:
            return str(value)
        if kind is Json:
            value = value.value
        if isinstance(value, str):
            return _quoted(value)
        return None if value is None else as_json(value)

    return value_of


def _quoted(text: str) -> str:
    """A JSON string.  One that is no UTF-8 is written byte by byte, as Envoy does."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            octets = text.encode("utf-8", "surrogateescape")
            return '"' + "".join([_octet(octet) for octet in octets]) + '"'
    return encode_basestring(text)


def _octet(octet: int) -> str:
    return chr(octet) if 32 <= octet < 127 and octet not in b'"\\' else f"\\u{octet:04x}"


# With `omit_empty` the shape of a line depends on its values.

_Node = Any  # dict of quoted key → node, list of nodes, str (JSON), or a function from the stream


def _node(form: Any, clocks: Clocks, extra: Extra) -> _Node:
    if isinstance(form, Mapping):
        return {_quoted(key): _node(form[key], clocks, extra) for key in sorted(form)}
    if isinstance(form, (list, tuple)):
        return [_node(one, clocks, extra) for one in form]
    if isinstance(form, str):
        return _leaf(form, clocks, "", extra)
    return None if form is None else as_json(form)


def _evaluated(node: _Node, stream: Any) -> str | None:
    """Its JSON, None if it is to be left out."""
    if node is None or isinstance(node, str):
        return node
    if isinstance(node, dict):
        members = [(key, _evaluated(one, stream)) for key, one in node.items()]
        present = [f"{key}:{text}" for key, text in members if text is not None]
        return "{" + ",".join(present) + "}" if present else None
    if isinstance(node, list):
        items = [item for one in node if (item := _evaluated(one, stream)) is not None]
        return "[" + ",".join(items) + "]"
    text: str | None = node(stream)
    return text
