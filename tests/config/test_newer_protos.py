"""Fields that the installed protos lack, added as they are imported."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from twistproxy.config import newer_protos
from twistproxy.config.newer_protos import _FILES, _NEWER, complete
from twistproxy.config.types import message_class


@pytest.mark.parametrize("field", _NEWER, ids=lambda field: f"{field.message}.{field.name}")
def test_they_are_there(field: newer_protos._Field) -> None:
    module = import_module(field.file.removesuffix(".proto").replace("/", ".") + "_pb2")
    outermost, *nested = field.message.split(".")
    message = module.DESCRIPTOR.message_types_by_name[outermost]
    for name in nested:
        message = message.nested_types_by_name[name]
    found = message.fields_by_name[field.name]
    assert found.number == field.number
    assert (found.message_type.full_name if found.message_type else found.type) == field.kind


@pytest.mark.parametrize("name", newer_protos._NEW_MESSAGES)
def test_whole_messages(name: str) -> None:
    found = message_class(name)
    assert found is not None
    assert found is message_class(name)
    fields = newer_protos._NEW_MESSAGES[name]
    assert [(one.name, one.number) for one in found.DESCRIPTOR.fields] == [
        (one.name, one.number) for one in fields
    ]
    assert not newer_protos.define("envoy.NoSuch")


def test_what_is_there_already_stays() -> None:
    file = FileDescriptorProto(name=_NEWER[0].file)
    message = file.message_type.add(name="RouteMatch")
    message.field.add(name="cookies", number=17, json_name="theirs")
    file.message_type.add(name="RedirectAction").oneof_decl.add(name="path_rewrite_specifier")
    file.message_type.add(name="RetryPolicy")
    complete(file)
    assert [field.json_name for field in message.field] == ["theirs"]
    assert complete(FileDescriptorProto.FromString(file.SerializeToString())) == file


def test_it_is_installed_once() -> None:
    newer_protos.install()
    assert sum(isinstance(one, newer_protos._Finder) for one in sys.meta_path) == 1
    assert len(_FILES) == len({field.file for field in _NEWER})
