"""Changes headers, trailers and the query (Envoy: configuration/http/http_filters/header_mutation_filter)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twistproxy.api.http_filter import FilterStatus
from twistproxy.filters.tools import FilterTools
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.header_rules import HeaderRules
from twistproxy.model.http_filters import HeaderMutationSettings, Mutation, QueryMutation

#: Acts on the headers of one message.
Step = Callable[[Any, Any], None]


class HeaderMutationFilter:
    """The mutations of all levels act: the filter's own first, then those of the routes.

    The most specific of these is the first of them, or with `most_specific_header_mutations_wins` the last.
    """

    def __init__(
        self,
        settings: HeaderMutationSettings,
        overrides: tuple[HeaderMutationSettings, ...],
        tools: FilterTools,
    ) -> None:
        levels = (settings, *(overrides[::-1] if settings.most_specific_wins else overrides))
        request = [mutation for level in levels for mutation in level.request]
        response = [mutation for level in levels for mutation in level.response]
        request_trailers = [mutation for level in levels for mutation in level.request_trailers]
        response_trailers = [mutation for level in levels for mutation in level.response_trailers]
        self._request = request_steps(request, tools)
        self._response = _response_steps(response, tools)
        self._request_trailers = request_steps(request_trailers, tools)
        self._response_trailers = request_steps(response_trailers, tools)
        self._query = [mutation for level in levels for mutation in level.query]

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> FilterStatus:
        for step in self._request:
            step(head, stream)
        if self._query:
            head.path = mutated_path(head.path, self._query)
        return FilterStatus.CONTINUE

    def decode_trailers(self, stream: Any, trailers: HeaderMap) -> FilterStatus:
        for step in self._request_trailers:
            step(trailers, stream)
        return FilterStatus.CONTINUE

    def encode_headers(self, stream: Any, head: ResponseHead, end_stream: bool) -> FilterStatus:
        for step in self._response:
            step(head, stream)
        return FilterStatus.CONTINUE

    def encode_trailers(self, stream: Any, trailers: HeaderMap) -> FilterStatus:
        for step in self._response_trailers:
            step(trailers, stream)
        return FilterStatus.CONTINUE


def _runs(mutations: Iterable[Mutation]) -> Iterable[list[HeaderRules] | Callable[[Any], None]]:
    """Rules that follow each other in one list; removals by matcher by themselves."""
    rules: list[HeaderRules] = []
    for mutation in mutations:
        if isinstance(mutation, HeaderRules):
            rules.append(mutation)
            continue
        if rules:
            yield rules
            rules = []
        yield partial(HeaderMap.remove_matching, matches=mutation.matches)
    if rules:
        yield rules


def request_steps(mutations: Iterable[Mutation], tools: FilterTools) -> list[Step]:
    """What the mutations do to a request's head, step by step."""
    steps: list[Step] = []
    for run in _runs(mutations):
        if isinstance(run, list):
            edits = tools.edit_requests(run)
            if edits is not None:
                steps.append(edits.apply_to_request)
        else:
            steps.append(_without_stream(run))
    return steps


def _response_steps(mutations: Iterable[Mutation], tools: FilterTools) -> list[Step]:
    steps: list[Step] = []
    for run in _runs(mutations):
        if isinstance(run, list):
            edits = tools.edit_responses(run)
            if edits is not None:
                steps.append(edits.apply_to_response)
        else:
            steps.append(_without_stream(run))
    return steps


def _without_stream(remove: Callable[[Any], None]) -> Step:
    return lambda headers, stream: remove(headers)


def mutated_path(path: bytes, mutations: Iterable[QueryMutation]) -> bytes:
    """A path with other query parameters, which come out sorted by their names."""
    bare, _, query = path.partition(b"?")
    values: dict[bytes, list[bytes]] = {}
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            values.setdefault(name, []).append(value)
    for mutation in mutations:
        name, value, action = mutation.key.encode(), mutation.value.encode(), mutation.action
        if not action:
            values.pop(name, None)
        elif action == "APPEND_IF_EXISTS_OR_ADD":
            values.setdefault(name, []).append(value)
        elif action == "ADD_IF_ABSENT":
            values.setdefault(name, [value])
        elif action == "OVERWRITE_IF_EXISTS_OR_ADD" or name in values:
            values[name] = [value]
    query = b"&".join([name + b"=" + value for name in sorted(values) for value in values[name]])
    return bare + b"?" + query if query else bare
