"""Fields of Envoy's protos that the installed `xds-protos` do not have yet.

A module of protos hands the pool its serialised FileDescriptorProto.  For the files named here that is completed on its
way, as soon as somebody imports the module; so the new fields are there like all others.  A field that the installed
file does have is left as it is, and nothing here does anything once `xds-protos` has caught up.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from validate import validate_pb2

_STRING, _BOOL = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BOOL
_ROUTES = "envoy/config/route/v3/route_components.proto"


class _Field(NamedTuple):
    """A field of a message that may be new itself.  `kind`: a scalar type, or the full name of a message."""

    file: str
    message: str
    number: int
    name: str
    kind: str | FieldDescriptorProto.Type.ValueType
    repeated: bool = False
    oneof: str = ""
    rules: validate_pb2.FieldRules | None = None


#: From Envoy 1.40: messages of which the installed protos have not even the file.
_NEW_MESSAGES = {
    "envoy.extensions.internal_redirect.filter_state.v3.FilterStateConfig": (
        _Field(
            "envoy/extensions/internal_redirect/filter_state/v3/filter_state_config.proto",
            "FilterStateConfig",
            1,
            "redirect_enabled_key",
            _STRING,
            rules=validate_pb2.FieldRules(string=validate_pb2.StringRules(min_len=1)),
        ),
        _Field(
            "envoy/extensions/internal_redirect/filter_state/v3/filter_state_config.proto",
            "FilterStateConfig",
            2,
            "redirect_if_absent",
            _BOOL,
        ),
    ),
}

#: From Envoy 1.40.
_NEWER = (
    _Field(
        _ROUTES,
        "CookieMatcher",
        1,
        "name",
        _STRING,
        rules=validate_pb2.FieldRules(string=validate_pb2.StringRules(min_len=1, max_bytes=1024)),
    ),
    _Field(
        _ROUTES,
        "CookieMatcher",
        2,
        "string_match",
        "envoy.type.matcher.v3.StringMatcher",
        rules=validate_pb2.FieldRules(message=validate_pb2.MessageRules(required=True)),
    ),
    _Field(_ROUTES, "CookieMatcher", 3, "invert_match", _BOOL),
    _Field(_ROUTES, "RouteMatch", 17, "cookies", "envoy.config.route.v3.CookieMatcher", repeated=True),
    _Field(_ROUTES, "RedirectAction", 10, "path_rewrite", _STRING, oneof="path_rewrite_specifier"),
    _Field(_ROUTES, "RetryPolicy", 14, "refresh_cluster_on_retry", _BOOL),
    _Field("envoy/config/core/v3/health_check.proto", "HealthCheck", 27, "name", _STRING),
    _Field(
        "envoy/config/endpoint/v3/endpoint_components.proto", "Endpoint", 5, "observability_name", _STRING
    ),
    _Field(
        "envoy/config/cluster/v3/circuit_breaker.proto",
        "CircuitBreakers.Thresholds.RetryBudget",
        3,
        "budget_interval",
        "google.protobuf.Duration",
    ),
    _Field(
        "envoy/config/cluster/v3/outlier_detection.proto",
        "OutlierDetection",
        26,
        "detect_degraded_hosts",
        "google.protobuf.BoolValue",
    ),
    _Field(
        "envoy/config/core/v3/protocol.proto",
        "HttpProtocolOptions",
        8,
        "max_connection_duration_jitter",
        "envoy.type.v3.Percent",
    ),
    _Field(
        "envoy/config/core/v3/config_source.proto",
        "PathConfigSource",
        3,
        "poll_interval",
        "google.protobuf.Duration",
    ),
    _Field(
        "envoy/extensions/clusters/dns/v3/dns_cluster.proto",
        "DnsCluster",
        10,
        "dns_min_refresh_rate",
        "google.protobuf.Duration",
    ),
    _Field("envoy/type/matcher/v3/address.proto", "AddressMatcher", 2, "invert_match", _BOOL),
    _Field(
        "envoy/extensions/filters/http/set_filter_state/v3/set_filter_state.proto",
        "Config",
        2,
        "clear_route_cache",
        _BOOL,
    ),
    _Field(
        "envoy/extensions/filters/network/set_filter_state/v3/set_filter_state.proto",
        "Config",
        3,
        "on_downstream_data",
        "envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue",
        repeated=True,
    ),
    _Field(
        "envoy/extensions/matching/common_inputs/network/v3/network_inputs.proto",
        "FilterStateInput",
        2,
        "field",
        _STRING,
    ),
    _Field("envoy/extensions/filters/http/fault/v3/fault.proto", "FaultAbort", 6, "response_body", _STRING),
    _Field(
        "envoy/extensions/filters/http/adaptive_concurrency/v3/adaptive_concurrency.proto",
        "GradientControllerConfig.ConcurrencyLimitCalculationParams",
        4,
        "min_concurrency_limit",
        "google.protobuf.UInt32Value",
    ),
)
_FILES = {f"{field.file.removesuffix('.proto').replace('/', '.')}_pb2": field.file for field in _NEWER}


def complete(file: FileDescriptorProto) -> FileDescriptorProto:
    """Add what this file lacks."""
    for field in _NEWER:
        if field.file == file.name:
            _add(_message(file, field.message), field)
    return file


def _message(file: FileDescriptorProto, path: str) -> descriptor_pb2.DescriptorProto:
    """The message of this name, nested ones with dots; made if it is not there."""
    outermost, *nested = path.split(".")
    found = next((one for one in file.message_type if one.name == outermost), None)
    if found is None:
        found = file.message_type.add(name=outermost)
    for name in nested:
        found = next(one for one in found.nested_type if one.name == name)
    return found


def _add(message: descriptor_pb2.DescriptorProto, field: _Field) -> None:
    if any(one.name == field.name or one.number == field.number for one in message.field):
        return
    label = FieldDescriptorProto.LABEL_REPEATED if field.repeated else FieldDescriptorProto.LABEL_OPTIONAL
    added = message.field.add(name=field.name, number=field.number, label=label)
    if isinstance(field.kind, str):
        added.type, added.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{field.kind}"
    else:
        added.type = field.kind
    if field.oneof:
        added.oneof_index = [one.name for one in message.oneof_decl].index(field.oneof)
    if field.rules is not None:
        added.options.Extensions[validate_pb2.rules].CopyFrom(field.rules)


def define(name: str) -> bool:
    """Add the message type of this full name to the pool, if it is one of those that nobody else has."""
    fields = _NEW_MESSAGES.get(name, ())
    if not fields:
        return False
    file = FileDescriptorProto(name=fields[0].file, package=name.rpartition(".")[0], syntax="proto3")
    file.dependency.append(validate_pb2.DESCRIPTOR.name)
    for field in fields:
        _add(_message(file, field.message), field)
    descriptor_pool.Default().Add(file)
    return True


class _Completing(importlib.abc.Loader):
    """Runs a module of protos with its descriptor completed."""

    def __init__(self, loader: importlib.abc.InspectLoader, file: str) -> None:
        self._loader = loader
        self._file = file.encode()

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        code = self._loader.get_code(module.__name__)
        assert code is not None
        exec(self._completed(code), module.__dict__)

    def _completed(self, code: CodeType) -> CodeType:
        start = b"\n" + bytes([len(self._file)]) + self._file  # field 1, the file's name
        constants = tuple(
            complete(FileDescriptorProto.FromString(one)).SerializeToString()
            if isinstance(one, bytes) and one.startswith(start)
            else one
            for one in code.co_consts
        )
        return code.replace(co_consts=constants)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        file = _FILES.get(fullname)
        if file is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.abc.InspectLoader):
            spec.loader = _Completing(spec.loader, file)
        return spec


def install() -> None:
    """From now on."""
    if not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
