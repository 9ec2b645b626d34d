"""Reading a message so that nothing in it is ignored in silence.

A builder takes a `Reader` around a message and asks it for fields by name.  The reader remembers what was
asked, and `Report.unread` afterwards lists every field that the user set and that no builder asked for.

    report = Report()
    root = Reader(bootstrap, report)
    for cluster in root.message("static_resources").messages("clusters"):
        name = cluster.string("name")
        timeout = cluster.duration("connect_timeout", 5.0)
        if cluster.oneof("cluster_discovery_type") == "type": kind = cluster.enum("type")
        if not name: cluster.problem("a cluster needs a name", "name")
    problems = report.problems + report.unread(root)

Asking for a field counts as reading it whether or not it is set; `has` and `oneof` do not count.  The same
sub-message asked for twice is the same Reader.  A field name that the message does not have is a bug and
raises.

Paths are as in the user's file: `static_resources.listeners[0].filter_chains[0]`, map keys in quotes
(`typed_per_filter_config["envoy.filters.http.cors"]`); the content of a `google.protobuf.Any` continues its
path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from twistproxy.errors import ConfigProblem

from .json_mapping import TYPED_STRUCTS, Filler
from .json_values import struct_node
from .places import Source
from .types import message_class, type_name

NOT_IMPLEMENTED = "is set, but twistproxy does not implement it"

_Default = TypeVar("_Default")
_Children: TypeAlias = "Reader | list[Reader] | dict[str, Reader] | None"
_MOST_SECONDS = 2**63 // 10**9  # in nanoseconds they fit into 64 bits
_DENOMINATORS = {0: 100.0, 1: 10_000.0, 2: 1_000_000.0}  # FractionalPercent.DenominatorType


class Report:
    """What went wrong while one configuration was built.  `problems` is in the order of finding."""

    def __init__(self) -> None:
        self.problems: list[ConfigProblem] = []

    def add(self, path: str, text: str) -> None:
        """Note a problem of the field at `path`."""
        self.problems.append(ConfigProblem(path, text))

    def unread(self, root: Reader) -> list[ConfigProblem]:
        """Every set field below `root` that no reader read; a subtree wholly unread is one problem."""
        return [ConfigProblem(path, NOT_IMPLEMENTED) for path in root.unread_paths()]


class Reader:
    """One message, where it stands, and which of its fields have been read.

    type_name  full proto name of the message
    raw        the message itself, for what this class does not offer (nothing is noted then)
    """

    __slots__ = ("_at", "_parent", "_read", "raw", "report", "type_name")

    def __init__(self, message: Any, report: Report, at: str = "", parent: Reader | None = None) -> None:
        self.raw: Any = message
        self.report = report
        self.type_name: str = message.DESCRIPTOR.full_name
        self._at = at
        self._parent = parent
        self._read: dict[str, _Children] = {}

    @property
    def called(self) -> str:
        """The type's name in messages: of a TypedStruct whose type is not installed, the one it stands for."""
        return type_name(self.raw.type_url) if self.type_name in TYPED_STRUCTS else self.type_name

    # where we are

    @property
    def path(self) -> str:
        """The path of this message from the root; "" for the root itself."""
        if self._parent is None:
            return self._at
        return self._parent.path_of(self._at)

    def path_of(self, field: str) -> str:
        """The path of a field of this message."""
        base = self.path
        return f"{base}.{field}" if base else field

    def problem(self, text: str, field: str | None = None) -> None:
        """Note a problem of this message or of one of its fields (`field` may carry an index,
        `domains[2]`).
        """
        self.report.add(self.path if field is None else self.path_of(field), text)

    def ignore(self, *names: str) -> None:
        """These fields are understood and on purpose without effect; whatever is in them counts as read."""
        for name in names:
            self._read[name] = None

    def ignore_all(self) -> None:
        """So do all fields of this message: what is wrong is said of whoever holds it."""
        self.ignore(*(field.name for field in self.raw.DESCRIPTOR.fields))

    def refuse(self, field: str | None, text: str = "is not implemented") -> None:
        """Note a problem of a field, and let that be all that is said of it.  None: of the whole message, which has
        nothing set."""
        self.problem(text, field)
        if field is not None:
            self.ignore(field)

    # is it there

    def has(self, name: str) -> bool:
        """Whether the field is set: present, or for plain scalars, lists and maps, not empty."""
        try:
            return bool(self.raw.HasField(name))
        except ValueError:
            return bool(getattr(self.raw, name))

    def oneof(self, name: str) -> str | None:
        """Which member of the oneof is set, or None."""
        found: str | None = self.raw.WhichOneof(name)
        return found

    # scalars

    def string(self, name: str) -> str:
        """A string or StringValue; "" if unset."""
        value = self._scalar(name)
        return value if isinstance(value, str) else (str(value.value) if value is not None else "")

    def octets(self, name: str) -> bytes:
        """A bytes or BytesValue; b"" if unset."""
        value = self._scalar(name)
        return value if isinstance(value, bytes) else (bytes(value.value) if value is not None else b"")

    def integer(self, name: str, default: _Default = None) -> int | _Default:  # type: ignore[assignment]
        """An integer field or UInt32Value and the like; `default` if unset (a plain 0 counts as unset)."""
        value = self._scalar(name)
        if isinstance(value, int):
            return value if value or self._is_present(name) else default
        return int(value.value) if value is not None else default

    def boolean(self, name: str, default: bool = False) -> bool:
        """A bool or BoolValue; `default` if unset (a plain false counts as false)."""
        value = self._scalar(name)
        if isinstance(value, bool):
            return value
        return bool(value.value) if value is not None else default

    def choice(self, name: str) -> bool | None:
        """A BoolValue; None if unset."""
        return self.boolean(name) if self.has(name) else None

    def number(self, name: str, default: _Default = None) -> float | _Default:  # type: ignore[assignment]
        """A double, float, DoubleValue or Percent (0 to 100); `default` if unset, as a plain 0 is."""
        value = self._scalar(name)
        if isinstance(value, (float, int)):
            return float(value) if value or self._is_present(name) else default
        return float(value.value) if value is not None else default

    def duration(self, name: str, default: _Default = None) -> float | _Default:  # type: ignore[assignment]
        """A Duration in seconds; `default` if unset.  What Envoy cannot count is a problem (Envoy: DurationUtil)."""
        value = self._scalar(name)
        if value is None:
            return default
        if value.seconds < 0 or value.nanos < 0:
            self.problem("Invalid duration: Expected positive duration", name)
        elif value.seconds > _MOST_SECONDS:
            self.problem("Invalid duration: Duration out-of-range", name)
        return float(value.seconds + value.nanos / 1e9)

    def fraction(self, name: str, default: _Default = None) -> float | _Default:  # type: ignore[assignment]
        """A FractionalPercent as 0.0 to 1.0; `default` if unset."""
        value = self._scalar(name)
        return default if value is None else float(value.numerator / _DENOMINATORS[value.denominator])

    def enum(self, name: str) -> str:
        """The name of an enum field's value (`ROUND_ROBIN`); for a number without one, which is a problem, that of
        the first."""
        self._read.setdefault(name, None)
        return self._enum_name(name, getattr(self.raw, name), name)

    def struct(self, name: str) -> dict[str, Any]:
        """A google.protobuf.Struct as plain Python values; {} if unset."""
        value = self._scalar(name)
        return {} if value is None else json_format.MessageToDict(value)

    # lists of scalars

    def strings(self, name: str) -> list[str]:
        """A repeated string field."""
        self._read.setdefault(name, None)
        return list(getattr(self.raw, name))

    def integers(self, name: str) -> list[int]:
        """A repeated integer field."""
        self._read.setdefault(name, None)
        return list(getattr(self.raw, name))

    def numbers(self, name: str) -> list[float]:
        """A repeated field of doubles."""
        self._read.setdefault(name, None)
        return list(getattr(self.raw, name))

    def enums(self, name: str) -> list[str]:
        """The value names of a repeated enum field."""
        self._read.setdefault(name, None)
        numbers = getattr(self.raw, name)
        return [self._enum_name(name, number, f"{name}[{at}]") for at, number in enumerate(numbers)]

    # messages

    def message(self, name: str) -> Reader | None:
        """The sub-message, or None if it is not set."""
        if self.raw.HasField(name):
            return self.message_or_empty(name)
        self._read.setdefault(name, None)
        return None

    def message_or_empty(self, name: str) -> Reader:
        """The sub-message, or an empty one in its place: for settings whose absence means all defaults."""
        known = self._read.get(name)
        if isinstance(known, Reader):
            return known
        reader = Reader(getattr(self.raw, name), self.report, name, self)
        self._read[name] = reader
        return reader

    def messages(self, name: str) -> list[Reader]:
        """The Readers of a repeated message field."""
        known = self._read.get(name)
        if isinstance(known, list):
            return known
        items = getattr(self.raw, name)
        readers = [Reader(item, self.report, f"{name}[{index}]", self) for index, item in enumerate(items)]
        self._read[name] = readers
        return readers

    def map_messages(self, name: str) -> dict[str, Reader]:
        """The Readers of a map<string, message> field; the values of a map<string, Any> are unpacked.

        An entry of unknown type is a problem and left out.
        """
        known = self._read.get(name)
        if isinstance(known, dict):
            return known
        readers: dict[str, Reader] = {}
        for key, value in getattr(self.raw, name).items():
            reader = self._opened(value, f'{name}["{key}"]')
            if reader is not None:
                readers[key] = reader
        self._read[name] = readers
        return readers

    def unpack(self, name: str) -> Reader | None:
        """What a google.protobuf.Any field holds, or None if it is unset or of a type that is not installed.

        The latter is a problem and noted.  A TypedStruct becomes the message it stands for; one whose type is not
        installed stays as it is (fields `type_url` and `value`).
        """
        known = self._read.get(name)
        if isinstance(known, Reader):
            return known
        self._read[name] = None
        if not self.raw.HasField(name):
            return None
        reader = self._opened(getattr(self.raw, name), name)
        self._read[name] = reader
        return reader

    # what was left over

    def unread_paths(self) -> Iterator[str]:
        """The paths of the set fields in and below this message that nobody read."""
        if not self._read and self.path and self.raw.ListFields():
            yield self.path
            return
        for field, _ in self.raw.ListFields():
            if field.name not in self._read:
                yield self.path_of(field.name)
                continue
            children = self._read[field.name]
            if isinstance(children, Reader):
                yield from children.unread_paths()
            elif children:
                for child in children.values() if isinstance(children, dict) else children:
                    yield from child.unread_paths()

    # helpers

    def _scalar(self, name: str) -> Any:
        """The value of a field, None for a message (wrapper, Duration …) that is not set; counts as read."""
        self._read.setdefault(name, None)
        value = getattr(self.raw, name)
        if isinstance(value, Message) and not self.raw.HasField(name):
            return None
        return value

    def _enum_name(self, name: str, number: int, at: str) -> str:
        enum = self.raw.DESCRIPTOR.fields_by_name[name].enum_type
        known = enum.values_by_number.get(number)
        if known is None:
            self.problem(f"{number} is no value of {enum.full_name}", at)
            known = enum.values[0]
        return str(known.name)

    def _is_present(self, name: str) -> bool:
        """Whether a scalar with presence (a oneof's member) is set; False for one without presence."""
        try:
            return bool(self.raw.HasField(name))
        except ValueError:
            return False

    def _opened(self, value: Any, at: str) -> Reader | None:
        if value.DESCRIPTOR.full_name != "google.protobuf.Any":
            return Reader(value, self.report, at, self)
        name = type_name(value.type_url)
        found = message_class(name)
        if found is None:
            self.problem(f"the type {name!r} is not among the installed protos", at)
            return None
        content = found()
        try:
            content.ParseFromString(value.value)
        except DecodeError as error:
            self.problem(f"does not hold a {name}: {error}", at)
            return None
        return Reader(self._untyped(content, at), self.report, at, self)

    def _untyped(self, content: Any, at: str) -> Any:
        """A TypedStruct as the message it stands for, if that type is installed, as Envoy takes it."""
        if content.DESCRIPTOR.full_name not in TYPED_STRUCTS:
            return content
        found = message_class(type_name(content.type_url))
        if found is None:
            return content
        real = found()
        filler = Filler(Source("", ""))
        filler.fill(real, struct_node(content.value))
        for problem in filler.problems:
            self.report.add(f"{self.path_of(at)}.{problem.path}", problem.message)
        return real
