"""Nodes as google.protobuf.Struct, ListValue and Value, and back: free-form data such as filter metadata."""

from __future__ import annotations

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

from .places import Entry, Mapping, Node, Scalar, Sequence


def fill_struct(message: Struct, node: Mapping) -> None:
    """A google.protobuf.Struct from a mapping."""
    message.SetInParent()
    for key, entry in node.entries.items():
        fill_value(message.fields[key], entry.node)


def fill_list_value(message: ListValue, node: Sequence) -> None:
    """A google.protobuf.ListValue from a list."""
    message.SetInParent()
    for item in node.items:
        fill_value(message.values.add(), item)


def fill_value(message: Value, node: Node) -> None:
    """A google.protobuf.Value from any node."""
    if isinstance(node, Mapping):
        fill_struct(message.struct_value, node)
    elif isinstance(node, Sequence):
        fill_list_value(message.list_value, node)
    elif node.value is None:
        message.null_value = NULL_VALUE
    elif isinstance(node.value, bool):
        message.bool_value = node.value
    elif isinstance(node.value, str):
        message.string_value = node.value
    else:
        message.number_value = node.value


def struct_node(message: Struct) -> Mapping:
    """A Struct as a tree without places (every offset is 0)."""
    return Mapping({key: Entry(0, value_node(value)) for key, value in message.fields.items()}, 0)


def value_node(message: Value) -> Node:
    """A Value as a tree without places."""
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return struct_node(message.struct_value)
    if kind == "list_value":
        return Sequence([value_node(item) for item in message.list_value.values], 0)
    return Scalar(None if kind in (None, "null_value") else getattr(message, str(kind)), 0)
