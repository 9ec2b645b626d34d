"""A tree into a protobuf message, by the proto3 JSON mapping, with all problems at once and each in its
place.

    filler = Filler(source)
    filler.fill(Bootstrap(), tree.root)
    filler.problems    → list[ConfigProblem]

What does not fit is left out of the message and noted, and reading goes on.  Deviations of Envoy's reader
from the mapping that are followed here: one value where a list is expected is a list of one; lists in it are
flattened; a null in a list is an empty element; a type URL needs a slash.  A TypedStruct whose type is
installed becomes that type at once.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from twistproxy.errors import ConfigProblem

from .json_scalars import ScalarReader, Unfit, expected_by, read_duration, scalar_reader
from .json_values import fill_list_value, fill_struct, fill_value
from .places import Mapping, Node, Scalar, Sequence, Source, describe, flattened
from .suggest import listed, unknown_field, unknown_type
from .types import TYPE_URL_PREFIX, is_repeated, message_class, type_name

# A path not yet written out: the parent's, and one more step (".name", "[0]" or '["key"]').
Path: TypeAlias = "tuple[Path, str] | None"

_WRAPPERS = {
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}
_BY_VALUE = _WRAPPERS | {
    f"google.protobuf.{name}" for name in ("Duration", "Timestamp", "Struct", "Value", "ListValue")
}
_TIMES = {"google.protobuf.Duration", "google.protobuf.Timestamp"}
TYPED_STRUCTS = {"xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"}


class _Field(NamedTuple):
    name: str
    is_list: bool
    is_map: bool
    message_type: str  # "" for scalars; for a map, of its values
    read: ScalarReader | None  # for scalars; for a map, of its values
    read_key: ScalarReader | None
    oneof: str
    clears: bool  # whether null means a value of its own (google.protobuf.Value)


@cache
def _fields(descriptor: Descriptor) -> dict[str, _Field]:
    """The fields of a message type by their proto names and their JSON names."""
    table = {}
    for field in descriptor.fields:
        is_map = bool(field.message_type is not None and field.message_type.GetOptions().map_entry)
        inner = field.message_type.fields_by_name["value"] if is_map else field
        kind = inner.message_type.full_name if inner.message_type is not None else ""
        oneof = field.containing_oneof
        entry = _Field(
            name=field.name,
            is_list=is_repeated(field) and not is_map,
            is_map=is_map,
            message_type=kind,
            read=None if kind else scalar_reader(inner),
            read_key=scalar_reader(field.message_type.fields_by_name["key"]) if is_map else None,
            # A proto3 `optional` is a oneof of its own, named after the field.
            oneof=oneof.name if oneof is not None and len(oneof.fields) > 1 else "",
            clears=kind == "google.protobuf.Value",
        )
        table[field.name] = table[field.json_name] = entry
    return table


def written(path: Path) -> str:
    """The text of a path."""
    parts = []
    while path is not None:
        path, step = path
        parts.append(step)
    return "".join(reversed(parts)).removeprefix(".")


class Filler:
    """Fills messages from the nodes of one source.

    problems  what was wrong, in the order of reading
    unknown   paths of the messages in which a field had an unknown name: what they seem to lack may be just
    that
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[ConfigProblem] = []
        self.unknown: set[str] = set()

    def problem(self, offset: int, path: Path, text: str) -> None:
        """Note what is wrong at an offset."""
        self.problems.append(self.source.problem(offset, written(path), text))

    def fill(self, message: Message, node: Node, path: Path = None) -> None:
        """Set the fields of `message` from a mapping."""
        full_name = message.DESCRIPTOR.full_name
        if full_name in _BY_VALUE:
            self._fill_by_value(message, full_name, node, path)
            return
        if full_name == "google.protobuf.Any":
            self._fill_any(message, node, path)
            return
        if not isinstance(node, Mapping):
            self._unfit(node, path, f"a mapping ({full_name.rpartition('.')[2]})")
            return
        self._fill_fields(message, node, path, "")

    def _fill_fields(self, message: Message, node: Mapping, path: Path, skipped: str) -> None:
        """Set the fields of an ordinary message; `skipped` is a key that is not a field ("@type")."""
        table = _fields(message.DESCRIPTOR)
        members: dict[str, str] = {}
        for key, (key_at, value) in node.entries.items():
            field = table.get(key)
            if field is None:
                if key != skipped:
                    self.unknown.add(written(path))
                    self.problem(key_at, (path, f".{key}"), unknown_field(message.DESCRIPTOR, key))
                continue
            if isinstance(value, Scalar) and value.value is None and not field.clears:
                continue
            at: Path = (path, f".{field.name}")
            other = members.setdefault(field.oneof or field.name, field.name)
            if other != field.name or (key != field.name and field.name in node.entries):
                both = f"{other} and {field.name}" if other != field.name else f"{field.name} and {key}"
                self.problem(key_at, at, f"only one of {both} may be set")
                continue
            self._fill_field(message, field, value, at)

    def _fill_field(self, message: Any, field: _Field, value: Node, path: Path) -> None:
        if field.is_map:
            self._fill_map(getattr(message, field.name), field, value, path)
        elif field.is_list:
            self._fill_list(getattr(message, field.name), field, value, path)
        elif field.read is None:
            child = getattr(message, field.name)
            child.SetInParent()
            self.fill(child, value, path)
        else:
            found, content = self._scalar(field.read, value, path)
            if found:
                setattr(message, field.name, content)

    def _fill_list(self, container: Any, field: _Field, value: Node, path: Path) -> None:
        free = field.message_type in ("google.protobuf.Value", "google.protobuf.ListValue")
        items = value.items if free and isinstance(value, Sequence) else flattened(value)
        for index, item in enumerate(items):
            at: Path = (path, f"[{index}]")
            if field.read is None:
                child = container.add()
                if field.clears or not (isinstance(item, Scalar) and item.value is None):
                    self.fill(child, item, at)
                continue
            found, content = self._scalar(field.read, item, at)
            if found:
                container.append(content)

    def _fill_map(self, container: Any, field: _Field, value: Node, path: Path) -> None:
        if not isinstance(value, Mapping):
            self._unfit(value, path, "a mapping")
            return
        for key, (key_at, item) in value.entries.items():
            at: Path = (path, f'["{key}"]')
            assert field.read_key is not None
            try:
                name = field.read_key(key)
            except Unfit as expected:
                self.problem(key_at, at, f"expected as a key {expected}")
                continue
            if field.read is None:
                child = container[name]
                if not (isinstance(item, Scalar) and item.value is None):
                    self.fill(child, item, at)
            else:
                found, content = self._scalar(field.read, item, at)
                if found:
                    container[name] = content

    def _scalar(self, read: ScalarReader, node: Node, path: Path) -> tuple[bool, Any]:
        """Whether the node fits, and the value it stands for."""
        if not isinstance(node, Scalar) or node.value is None:
            self._unfit(node, path, expected_by(read))
            return False, None
        try:
            return True, read(node.value)
        except Unfit as expected:
            self._unfit(node, path, str(expected))
            return False, None

    def _unfit(self, node: Node, path: Path, expected: str) -> None:
        quote = ""
        if isinstance(node, Scalar) and node.text and not isinstance(node.value, str) and expected == "text":
            quote = f"; unquoted, {node.text} is not text in YAML: put it in quotes"
        what, mark, rest = expected.partition("; ")
        self.problem(node.offset, path, f"expected {what}, found {describe(node)}{mark}{rest}{quote}")

    # messages with a JSON form of their own

    def _fill_by_value(self, message: Any, full_name: str, node: Node, path: Path) -> None:
        if full_name in _WRAPPERS:
            if isinstance(node, Mapping):
                self._fill_fields(message, node, path, "")
                return
            read = _fields(message.DESCRIPTOR)["value"].read
            assert read is not None
            found, content = self._scalar(read, node, path)
            if found:
                message.value = content
                message.SetInParent()
        elif isinstance(node, Mapping) and full_name in _TIMES:
            self._fill_fields(message, node, path, "")
        elif full_name == "google.protobuf.Duration":
            found, content = self._scalar(read_duration, node, path)
            if found:
                message.seconds, message.nanos = content
                message.SetInParent()
        elif full_name == "google.protobuf.Timestamp":
            self._fill_timestamp(message, node, path)
        elif full_name == "google.protobuf.Value":
            fill_value(message, node)
        elif full_name == "google.protobuf.ListValue":
            if isinstance(node, Sequence):
                fill_list_value(message, node)
            else:
                self._unfit(node, path, "a list")
        elif isinstance(node, Mapping):
            fill_struct(message, node)
        else:
            self._unfit(node, path, "a mapping")

    def _fill_timestamp(self, message: Timestamp, node: Node, path: Path) -> None:
        if isinstance(node, Scalar) and isinstance(node.value, str):
            try:
                message.FromJsonString(node.value)
            except ValueError:
                pass
            else:
                return
        self._unfit(node, path, 'a time such as "2026-01-31T12:00:00Z"')

    def _fill_any(self, message: Any, node: Node, path: Path) -> None:
        if not isinstance(node, Mapping):
            self._unfit(node, path, 'a mapping with "@type"')
            return
        if not node.entries:
            return
        content = self._any_content(node, "@type", path)
        if content is None:
            return
        full_name = content.DESCRIPTOR.full_name
        if full_name in _BY_VALUE or full_name == "google.protobuf.Any":
            for key, entry in node.entries.items():
                if key not in ("@type", "value"):
                    text = f'a {full_name} has only "@type" and "value" here'
                    self.problem(entry.offset, (path, f".{key}"), text)
            value = node.get("value")
            if value is not None:
                self.fill(content, value, path)
        elif full_name in TYPED_STRUCTS and (real := self._typed_struct(node, path)) is not None:
            content = real
        else:
            self._fill_fields(content, node, path, "@type")
        message.Pack(content, TYPE_URL_PREFIX, deterministic=True)

    def _any_content(self, node: Mapping, key: str, path: Path) -> Message | None:
        """A new message of the type that the entry `key` names."""
        named = node.get(key)
        if named is None:
            text = f'"{key}" is missing: it names the type of this message (which has {listed(node.entries)})'
            self.problem(node.offset, path, text)
            return None
        if not isinstance(named, Scalar) or not isinstance(named.value, str):
            self._unfit(named, (path, f".{key}"), "text")
            return None
        host, slash, name = named.value.rpartition("/")
        if not slash or not host:
            hint = f'; did you mean "{TYPE_URL_PREFIX}{name}"?' if message_class(name) else ""
            text = f'expected a type URL, "{TYPE_URL_PREFIX}package.Message", found "{named.value}"{hint}'
            self.problem(named.offset, (path, f".{key}"), text)
            return None
        found = message_class(name)
        if found is None:
            self.problem(named.offset, (path, f".{key}"), unknown_type(name))
            return None
        return found()

    def _typed_struct(self, node: Mapping, path: Path) -> Message | None:
        """The message that a TypedStruct stands for, if its type is installed."""
        named, value = node.get("type_url") or node.get("typeUrl"), node.get("value")
        if not isinstance(named, Scalar) or not isinstance(named.value, str):
            return None
        real = message_class(type_name(named.value))
        if real is None or set(node.entries) - {"@type", "type_url", "typeUrl", "value"}:
            return None
        content = real()
        if value is not None:
            self.fill(content, value, path)
        return content
