"""Which subsets a host is in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

from twistproxy.model.subsets import SubsetSelector, SubsetSettings
from twistproxy.primitives.metadata_match import Labels, comparable, labels
from twistproxy.upstream.host import Host

_NAMESPACE = "envoy.lb"


class SubsetKeys:
    """Reads the metadata of hosts: `of(host)` are the labels of its subsets, `is_default(host)` whether it is in the
    default one.  What metadata says is remembered until `forget`."""

    __slots__ = ("_any_of_list", "_default", "_known", "_selectors")

    def __init__(self, settings: SubsetSettings) -> None:
        self._selectors = settings.selectors
        self._default = labels(settings.default)
        self._any_of_list = settings.list_as_any
        self._known: dict[str, tuple[tuple[tuple[Labels, bool], ...], bool]] = {}

    def of(self, host: Host) -> tuple[tuple[Labels, bool], ...]:
        """The labels of each of its subsets, and whether only one host may be in it."""
        return self._read(host)[0]

    def is_default(self, host: Host) -> bool:
        return self._read(host)[1]

    def forget(self) -> None:
        """The hosts will be others."""
        self._known = {}

    def _read(self, host: Host) -> tuple[tuple[tuple[Labels, bool], ...], bool]:
        text = host.endpoint.metadata
        found = self._known.get(text)
        if found is None:
            values: Mapping[str, Any] = (json.loads(text) if text else {}).get(_NAMESPACE, {})
            subsets: dict[Labels, bool] = {}
            for selector in self._selectors:
                for one in self._subsets(selector, values):
                    subsets.setdefault(one, selector.single)
            found = self._known[text] = (tuple(subsets.items()), self._matches(values))
        return found

    def _subsets(self, selector: SubsetSelector, values: Mapping[str, Any]) -> list[Labels]:
        """The host's labels with these keys; several where lists stand for each of their values."""
        if not selector.keys or not all(key in values for key in selector.keys):
            return []
        choices = [[(key, value) for value in self._values(values[key])] for key in selector.keys]
        return list(product(*choices))

    def _matches(self, values: Mapping[str, Any]) -> bool:
        return all(key in values and value in self._values(values[key]) for key, value in self._default)

    def _values(self, value: Any) -> list[Any]:
        if self._any_of_list and isinstance(value, list):
            return [comparable(one) for one in value]
        return [comparable(value)]
