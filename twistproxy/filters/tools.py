"""What a filter is given beside its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from twistproxy.api.clock import Clock
from twistproxy.filters.gradient import GradientController
from twistproxy.http.message import ResponseHead
from twistproxy.model.access_log import LogFormat
from twistproxy.model.guards import GradientSettings
from twistproxy.model.header_rules import HeaderRules
from twistproxy.primitives.runtime import RuntimeValues


class Edits(Protocol):
    """Compiled header rules."""

    def apply_to_request(self, head: Any, stream: Any) -> None: ...

    def apply_to_response(self, head: ResponseHead, stream: Any) -> None: ...


class Hosts(Protocol):
    """A cluster, as far as filters look at it."""

    def membership(self) -> tuple[int, int]:
        """(all hosts, those that are healthy or degraded)."""


@dataclass(frozen=True, slots=True)
class FilterTools:
    """counters, gauges   of the connection manager, by name: "cors.origin_valid"
    healthy       False after /healthcheck/fail
    get_cluster   by name, or None
    edit_requests, edit_responses   compile header rules that act one after the other; None if there is nothing to do
    compile_format  makes a function from a stream to text
    gradient      the controller of the next adaptive_concurrency of the chain
    window        the `admission_control.RequestWindow` of the next admission_control, of so many seconds
    name          of the filter in its chain
    """

    counters: dict[str, int]
    gauges: dict[str, int]
    runtime: RuntimeValues
    clock: Clock
    healthy: Callable[[], bool]
    get_cluster: Callable[[str], Hosts | None]
    edit_requests: Callable[[Iterable[HeaderRules]], Edits | None]
    edit_responses: Callable[[Iterable[HeaderRules]], Edits | None]
    compile_format: Callable[[LogFormat], Callable[[Any], str]]
    gradient: Callable[[GradientSettings], GradientController]
    window: Callable[[int], Any]
    name: str = ""

    def count(self, *names: str) -> None:
        """Have these counters, at 0 if they are new."""
        for name in names:
            self.counters.setdefault(name, 0)
