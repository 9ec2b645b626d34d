"""Metadata that hosts have to have, and its values in a form that can be compared (Envoy:
Router::MetadataMatchCriteria; envoy.config.core.v3.Metadata, namespace `envoy.lb`).

Values are those of a protobuf Struct: None, booleans, numbers, text, lists and mappings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

#: A value in its comparable form.
Value = Any

#: Names with values in their comparable forms, in the order of the names.
Labels = tuple[tuple[str, Value], ...]


def comparable(value: Any) -> Value:
    """Something hashable that is equal for equal values only: 1 is not true, nor is it "1"."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return (value,)
    if isinstance(value, (int, float)):
        return ("number", float(value))
    if isinstance(value, Mapping):
        return ("struct", labels(value))
    return ("list", tuple([comparable(one) for one in value]))


def labels(values: Mapping[str, Any]) -> Labels:
    return tuple([(name, comparable(values[name])) for name in sorted(values)])


def has_labels(values: Mapping[str, Any], wanted: Labels) -> bool:
    """Whether all of these are among `values`; a list has each of its own (Envoy: Metadata::metadataLabelMatch)."""
    for name, value in wanted:
        if name not in values:
            return False
        found = values[name]
        if isinstance(found, list):
            if value not in [comparable(one) for one in found]:
                return False
        elif comparable(found) != value:
            return False
    return True


class MetadataMatchCriteria:
    """`values` by name; `labels` are the same to look hosts up by, and `names` their names alone, in order."""

    __slots__ = ("labels", "names", "values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self.labels = labels(values)
        self.names = tuple([name for name, _ in self.labels])

    def merged(self, others: Mapping[str, Any]) -> MetadataMatchCriteria:
        """These, and others that count in their place where both have a name."""
        return MetadataMatchCriteria({**self.values, **others})

    def filtered(self, names: Collection[str]) -> MetadataMatchCriteria:
        """Those with these names."""
        return MetadataMatchCriteria({name: self.values[name] for name in self.names if name in names})
