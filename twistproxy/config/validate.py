"""The constraints that Envoy's protos carry (`validate.rules`), checked over a whole message tree.

    violations(bootstrap)   → every violation, with the path of the field

Envoy checks a message when it takes it into use; here the contents of every google.protobuf.Any are checked
along with the message around them.  For each message type a plan is made once: which fields have rules, and
which lead to others that may have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import DecodeError
from validate import validate_pb2

from twistproxy.errors import ConfigProblem

from .types import is_repeated, message_class, type_name
from .validate_rules import Check, size_check, unique_check, value_check

_ANY = "google.protobuf.Any"


@dataclass(slots=True)
class _Rule:
    """What is checked of one field.

    required   the message must be set
    explicit   the field has presence, and is checked only if set
    wrapped    the value is that of a wrapper (UInt32Value …)
    check      of the value; for lists of each item, for maps of each value
    check_key  for maps, of each key
    check_all  of the list or map as a whole
    descend    whether messages in it are to be checked in turn
    """

    name: str
    shape: str  # "one", "list" or "map"
    required: bool = False
    explicit: bool = False
    wrapped: bool = False
    check: Check | None = None
    check_key: Check | None = None
    check_all: list[Check] = field(default_factory=list)
    descend: bool = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do for the field."""
        return not (self.required or self.check or self.check_key or self.check_all or self.descend)


@dataclass(slots=True)
class _Plan:
    """The rules of one message type, and its oneofs of which a member must be set."""

    rules: list[_Rule] = field(default_factory=list)
    oneofs: list[tuple[str, str]] = field(default_factory=list)


def violations(message: Any) -> list[ConfigProblem]:
    """Every violation in and below a message; paths are relative to it."""
    return [ConfigProblem(path.removeprefix("."), text) for path, text in _violations(message, "")]


def _violations(message: Any, path: str) -> Iterator[tuple[str, str]]:
    if message.DESCRIPTOR.full_name == _ANY:
        yield from _any_violations(message, path)
        return
    plan = _plan(message.DESCRIPTOR)
    for oneof, members in plan.oneofs:
        if message.WhichOneof(oneof) is None:
            yield path, f"needs one of {members}"
    for rule in plan.rules:
        at = f"{path}.{rule.name}"
        if rule.shape == "one":
            yield from _one(message, rule, at)
        elif rule.shape == "list":
            yield from _list(getattr(message, rule.name), rule, at)
        else:
            yield from _map(getattr(message, rule.name), rule, at)


def _one(message: Any, rule: _Rule, path: str) -> Iterator[tuple[str, str]]:
    if rule.explicit and not message.HasField(rule.name):
        if rule.required:
            yield path, "is required, and not set"
        return
    value = getattr(message, rule.name)
    if rule.check is not None:
        text = rule.check(value.value if rule.wrapped else value)
        if text is not None:
            yield path, text
    if rule.descend:
        yield from _violations(value, path)


def _list(items: Any, rule: _Rule, path: str) -> Iterator[tuple[str, str]]:
    for check in rule.check_all:
        text = check(items)
        if text is not None:
            yield path, text
    if rule.check is None and not rule.descend:
        return
    for index, item in enumerate(items):
        text = rule.check(item.value if rule.wrapped else item) if rule.check else None
        if text is not None:
            yield f"{path}[{index}]", text
        if rule.descend:
            yield from _violations(item, f"{path}[{index}]")


def _map(pairs: Any, rule: _Rule, path: str) -> Iterator[tuple[str, str]]:
    for check in rule.check_all:
        text = check(pairs)
        if text is not None:
            yield path, text
    for key in pairs:
        at = f'{path}["{key}"]'
        text = rule.check_key(key) if rule.check_key else None
        if text is not None:
            yield at, f"its key {text}"
        text = rule.check(pairs[key]) if rule.check else None
        if text is not None:
            yield at, text
        if rule.descend:
            yield from _violations(pairs[key], at)


def _any_violations(message: Any, path: str) -> Iterator[tuple[str, str]]:
    """Those of the content, if its type is installed: if not, whoever wants to read it will say so."""
    found = message_class(type_name(message.type_url)) if message.type_url else None
    if found is None:
        return
    content = found()
    try:
        content.ParseFromString(message.value)
    except DecodeError:
        yield path, f"does not hold a {type_name(message.type_url)}"
        return
    yield from _violations(content, path)


# plans


@cache
def _plan(descriptor: Descriptor) -> _Plan:
    if descriptor.GetOptions().Extensions[validate_pb2.disabled]:
        return _Plan()
    plan = _Plan([rule for rule in map(_rule, descriptor.fields) if not rule.idle])
    for oneof in descriptor.oneofs:
        if _is_required(oneof):
            plan.oneofs.append((oneof.name, ", ".join(member.name for member in oneof.fields)))
    return plan


def _rule(descriptor: FieldDescriptor) -> _Rule:
    options = descriptor.GetOptions()
    rules = options.Extensions[validate_pb2.rules]
    kind = rules.WhichOneof("type") or ""
    own: Any = getattr(rules, kind) if kind else None
    inner = descriptor.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return _map_rule(descriptor, own if kind == "map" else None)
    skip = rules.message.skip
    descend = inner is not None and not skip and _leads_to_rules(inner)
    if is_repeated(descriptor):
        rule = _Rule(descriptor.name, "list", descend=descend, wrapped=_is_wrapper(inner))
        if own is not None and kind == "repeated":
            size = size_check(own, "min_items", "max_items", "item")
            rule.check_all = [check for check in (size, unique_check if own.unique else None) if check]
            item_kind = own.items.WhichOneof("type")
            if item_kind:
                rule.check = value_check(descriptor, item_kind, getattr(own.items, item_kind))
            rule.descend = descend and not own.items.message.skip
        return rule
    rule = _Rule(descriptor.name, "one", descend=descend, explicit=descriptor.has_presence)
    rule.wrapped = _is_wrapper(inner) and kind != ""
    required = rules.message.required or bool(kind in ("duration", "any", "timestamp") and own.required)
    # A member of a oneof must be there only if it is the one that is chosen, and then it is.
    rule.required = required and descriptor.containing_oneof is None
    if kind:
        rule.check = value_check(descriptor, kind, own)
    return rule


def _map_rule(descriptor: FieldDescriptor, own: Any) -> _Rule:
    value = descriptor.message_type.fields_by_name["value"]
    rule = _Rule(descriptor.name, "map", descend=_leads_to_rules(value.message_type))
    if own is not None:
        size = size_check(own, "min_pairs", "max_pairs", "entry")
        rule.check_all = [size] if size else []
        key_kind, value_kind = own.keys.WhichOneof("type"), own.values.WhichOneof("type")
        if key_kind:
            key = descriptor.message_type.fields_by_name["key"]
            rule.check_key = value_check(key, key_kind, getattr(own.keys, key_kind))
        if value_kind:
            rule.check = value_check(value, value_kind, getattr(own.values, value_kind))
    return rule


def _is_wrapper(descriptor: Descriptor | None) -> bool:
    return descriptor is not None and descriptor.file.name == "google/protobuf/wrappers.proto"


def _is_required(oneof: OneofDescriptor) -> bool:
    return bool(oneof.GetOptions().Extensions[validate_pb2.required])


@cache
def _leads_to_rules(descriptor: Descriptor | None) -> bool:
    """Whether a message of the type, or one that it may hold, could violate anything."""
    seen: set[str] = set()
    stack = [descriptor] if descriptor is not None else []
    while stack:
        here = stack.pop()
        if here.full_name in seen:
            continue
        seen.add(here.full_name)
        if here.full_name == _ANY or any(map(_is_required, here.oneofs)):
            return True
        for member in here.fields:
            if member.GetOptions().HasExtension(validate_pb2.rules):
                return True
            if member.message_type is not None:
                stack.append(member.message_type)
    return False
