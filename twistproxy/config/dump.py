"""A message as JSON values, for people and pages."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from twistproxy.config.types import message_class, type_name


def message_to_json(message: Message) -> dict[str, Any]:
    """Protobuf's JSON mapping with the field names of the proto files; typed configurations are unpacked."""
    _import_types(message)
    result: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return result


def _import_types(message: Message) -> None:
    """Import the types of all `google.protobuf.Any` inside, else they cannot be printed."""
    if message.DESCRIPTOR.full_name == "google.protobuf.Any":
        packed: Any = message
        cls = message_class(type_name(packed.type_url))
        if cls is not None:
            inner = cls()
            packed.Unpack(inner)
            _import_types(inner)
        return
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        if isinstance(value, Message):
            _import_types(value)
        else:
            values = value.values() if hasattr(value, "values") else value
            for one in values:
                if isinstance(one, Message):
                    _import_types(one)
