"""“Did you mean …?” for names that are unknown but close to a known one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import DescriptorProto

from .types import declared_messages, packages


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the known names most like `word`, or "" if none is like it.

    To be appended to a message: fields, enum values, extension names, clusters …
    """
    by_folded = {_folded(name): name for name in known}
    close = get_close_matches(_folded(word), by_folded, n=2, cutoff=0.65)
    if not close:
        return ""
    return "; did you mean " + " or ".join(f'"{by_folded[name]}"' for name in close) + "?"


def listed(names: Iterable[str], most: int = 12) -> str:
    """The names as a comma list, cut after `most`."""
    every = list(names)
    shown = ", ".join(every[:most])
    return f"{shown}, … ({len(every)} in all)" if len(every) > most else shown


def unknown_type(name: str) -> str:
    """The message about a message type that is not installed, with the installed ones most like it."""
    package = name.rpartition(".")[0]
    close_packages = get_close_matches(package, packages(), n=3, cutoff=0.8)
    candidates = [full for close in close_packages for full in declared_messages(close)]
    close = get_close_matches(name, candidates, n=1, cutoff=0.8)
    # Most of a long name is its package: what is like it only there is another type.
    if close and get_close_matches(_last(name), [_last(close[0])], cutoff=0.6):
        return f'unknown message type "{name}"; did you mean "{close[0]}"?'
    if package in packages():
        names = [_last(full) for full in declared_messages(package)]
        return f'unknown message type "{name}"; the package {package} has {listed(names)}'
    return (
        f'unknown message type "{name}" (the installed protos, package xds-protos, may trail Envoy; '
        f"contrib extensions are not in them)"
    )


def unknown_field(descriptor: Descriptor, key: str) -> str:
    """The message about a key that is no field of the type."""
    short = descriptor.full_name.rpartition(".")[2]
    names = [field.name for field in descriptor.fields]
    if key == "@type":
        return f"{short} is not a message of variable type: there is no place for @type"
    hint = ""
    for field in descriptor.fields:
        inner = field.message_type
        if inner is not None and not inner.GetOptions().map_entry and key in inner.fields_by_name:
            hint = f'; did you mean "{field.name}.{key}"?'
            break
    hint = hint or did_you_mean(key, names)
    if not hint and key == "config" and "typed_config" in names:
        hint = '; did you mean "typed_config" (with "@type")?'
    if not hint and _is_reserved(descriptor, key):
        return f'"{key}" was a field of {short} in earlier versions of the Envoy API'
    if hint:
        return f'{short} has no field "{key}"{hint}'
    return (
        f'{short} has no field "{key}" in the installed protos (xds-protos); it has {listed(sorted(names))}'
    )


def _is_reserved(descriptor: Descriptor, key: str) -> bool:
    proto = DescriptorProto()
    descriptor.CopyToProto(proto)
    return key in proto.reserved_name


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
