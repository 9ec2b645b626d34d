"""Leaves dynamic metadata with a request (Envoy: configuration/http/http_filters/set_metadata_filter)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from twistproxy.api.http_filter import FilterStatus
from twistproxy.filters.tools import FilterTools
from twistproxy.http.message import RequestHead
from twistproxy.model.http_filters import SetMetadataSettings

_DENIED = "set_metadata.overwrite_denied"


class SetMetadataFilter:
    """A namespace that is there already is left alone, or may be overwritten: then the values are merged."""

    def __init__(
        self, settings: SetMetadataSettings, overrides: tuple[SetMetadataSettings, ...], tools: FilterTools
    ) -> None:
        self._metadata = (*overrides, settings)[0].metadata
        self._counters = tools.counters
        tools.count(_DENIED)

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> FilterStatus:
        if stream.metadata is None:
            stream.metadata = {}
        for one in self._metadata:
            there = stream.metadata.get(one.namespace)
            if there is None:
                stream.metadata[one.namespace] = copy.deepcopy(dict(one.value))
            elif one.overwrite:
                merge(there, one.value)
            else:
                self._counters[_DENIED] += 1
        return FilterStatus.CONTINUE


def merge(target: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Add values: mappings are merged and lists joined; all else, also of another kind, is replaced."""
    for key, value in new.items():
        there = target.get(key)
        if isinstance(there, dict) and isinstance(value, Mapping):
            merge(there, value)
        elif isinstance(there, list) and isinstance(value, list):
            there.extend(copy.deepcopy(value))
        else:
            target[key] = copy.deepcopy(value)
