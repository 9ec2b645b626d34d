"""envoy.config.bootstrap.v3.LayeredRuntime to `model.runtime`, and single values from text."""

from __future__ import annotations

from google.protobuf.struct_pb2 import Struct, Value

from twistproxy.config.fields import Reader
from twistproxy.config.json_values import fill_value
from twistproxy.config.places import Source
from twistproxy.config.source import parse_yaml
from twistproxy.model.runtime import AdminLayer, DiskLayer, LayerValue, RuntimeLayer, StaticLayer
from twistproxy.primitives.runtime import Plain, number_text


def build_runtime(root: Reader, service_cluster: str) -> tuple[RuntimeLayer, ...]:
    """The layers, the last one on top.  `service_cluster`: what `append_service_cluster` appends."""
    layers: list[RuntimeLayer] = []
    names: set[str] = set()
    for reader in root.message_or_empty("layered_runtime").messages("layers"):
        name = reader.string("name")
        if name in names:
            reader.problem(f"Duplicate layer name: {name}", "name")
        names.add(name)
        kind = reader.oneof("layer_specifier")
        if kind == "static_layer":
            layers.append(StaticLayer(name, _static_values(reader)))
        elif kind == "disk_layer":
            layers.append(_disk_layer(name, reader.message_or_empty("disk_layer"), service_cluster))
        elif kind == "admin_layer":
            reader.message_or_empty("admin_layer")
            if any(isinstance(layer, AdminLayer) for layer in layers):
                reader.problem(
                    "Too many admin layers specified in LayeredRuntime, at most one may be specified", kind
                )
            layers.append(AdminLayer(name))
        elif kind is not None:
            reader.refuse(kind, "is not implemented; static_layer, disk_layer and admin_layer are")
    return tuple(layers)


def _disk_layer(name: str, reader: Reader, service_cluster: str) -> DiskLayer:
    root = reader.string("symlink_root")
    if not root:
        reader.problem("invalid file path", "symlink_root")
    directory = f"{root}/{reader.string('subdirectory')}"
    if reader.boolean("append_service_cluster"):
        directory += f"/{service_cluster}"
    return DiskLayer(name, root, directory)


def _static_values(reader: Reader) -> dict[str, LayerValue]:
    reader.struct("static_layer")
    values: dict[str, LayerValue] = {}
    for key, value in reader.raw.static_layer.fields.items():
        _add(reader, values, key, value)
    return values


def _add(reader: Reader, values: dict[str, LayerValue], key: str, value: Value) -> None:
    """Add what is under `key`: a value, or a mapping whose keys continue it."""
    kind = value.WhichOneof("kind")
    if kind in (None, "null_value", "list_value"):
        reader.problem(f"Invalid runtime entry value for {key}", "static_layer")
    elif kind == "struct_value":
        fields = value.struct_value.fields
        if fields and not {"numerator", "denominator"} & fields.keys():
            for name, inner in fields.items():
                _add(reader, values, f"{key}.{name}", inner)
        else:
            values[key] = LayerValue(_plain(value), _struct_text(value.struct_value))
    else:
        plain = _plain(value)
        values[key] = LayerValue(plain, _text(plain))


def _plain(value: Value) -> Plain:
    """A scalar, or a mapping of scalars; what can be nothing that is ever asked for becomes ""."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: _plain(inner) for name, inner in value.struct_value.fields.items()}
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return bool(value.bool_value)
    return str(value.string_value)


def _struct_text(struct: Struct) -> str:
    """Protobuf's text format, in the order of the keys."""
    return "".join(str(Struct(fields={name: struct.fields[name]})) for name in sorted(struct.fields))


def _text(plain: Plain) -> str:
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return number_text(plain) if isinstance(plain, (int, float)) else str(plain)


def parse_value(text: str) -> LayerValue:
    """A value from a file of a disk layer or from /runtime_modify: YAML, shown as it was written.

    ConfigError if it is no YAML.
    """
    if not text.strip():
        return LayerValue(text, text)
    value = Value()
    fill_value(value, parse_yaml(Source("", text)).root)
    kind = value.WhichOneof("kind")
    if kind in ("bool_value", "number_value", "struct_value"):
        return LayerValue(_plain(value), text)
    return LayerValue(text, text)
