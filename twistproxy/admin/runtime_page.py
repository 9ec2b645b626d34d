"""/runtime and /runtime_modify: the runtime's values, layer by layer, and changing them."""

from __future__ import annotations

from typing import Any

from twistproxy.admin.answer import Answer, Query, json_page
from twistproxy.admin.view import AdminView

_USAGE = (
    "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n"
    "       or send the parameters as form values\n"
    "use an empty value to remove a previously added override"
)


def runtime_page(view: AdminView) -> Answer:
    """The names of the layers, and for each key its value in each of them, "" where it has none."""
    layers = view.runtime_layers()
    entries: dict[str, Any] = {}
    for key in sorted({key for _, values in layers for key in values}):
        texts = [values.get(key, "") for _, values in layers]
        final = next((text for text in reversed(texts) if text), "")
        entries[key] = {"final_value": final, "layer_values": texts}
    return json_page({"entries": entries, "layers": [name for name, _ in layers]})


def runtime_modify_page(view: AdminView, query: Query) -> Answer:
    """Set and take away values of the admin layer, in all workers."""
    if not query:
        return Answer(_USAGE, 400)
    problem = view.modify_runtime(query)
    return Answer(problem, 503) if problem else Answer("OK\n")
