"""The page /: a table of all commands with a form for each that has parameters."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from twistproxy.admin.commands import COMMANDS, Command, Param

_HEAD = """<!DOCTYPE html>
<html lang='en'>
<head>

  <title>Twistproxy Admin</title>
<style>
.home-table { font-family: sans-serif; font-size: medium; border-collapse: collapse; border-spacing: 0; }
.home-data { text-align: left; padding: 4px; }
.home-form { margin-bottom: 0; }
.button-as-link {
  background: none!important; border: none; padding: 0!important; font-family: sans-serif; font-size: medium;
  color: #069; text-decoration: underline; cursor: pointer;
}
.gray { background-color: #dddddd; }
.vert-space { height: 4px; }
.option { padding: 4px 4px 4px 20px; text-align: right; }
</style>
</head>
<body>

  <table class='home-table'>
    <thead>
      <tr>
        <th class='home-data'>Command</th>
        <th class='home-data'>Description</th>
      </tr>
    </thead>
    <tbody>
"""

_FOOT = """
    </tbody>
  </table>
</body>
</html>
"""


def home_page() -> str:
    """The whole page.  Commands that change something are buttons that POST; the others are links."""
    rows = [row for index, command in enumerate(COMMANDS, 1) for row in _rows(index, command)]
    return _HEAD + "".join(rows) + _FOOT


def _rows(index: int, command: Command) -> Iterator[str]:
    row_class = "" if index % 2 else " class='gray'"
    yield (
        f"\n<tr class='vert-space'><td></td><td></td></tr>\n<tr{row_class}>\n"
        f"  <td class='home-data'>{_link(command)}</td>\n"
        f"  <td class='home-data'>{escape(command.help)}</td>\n</tr>\n"
    )
    for param in command.params:
        ident = f"param-{index}-{command.path.replace('/', '-')}-{param.name}"
        yield (
            f"<tr{row_class}>\n  <td class='option'>{_input(command, param, ident)}</td>\n"
            f"  <td class='home-data'><label for='{ident}'>{escape(param.help)}</label></td>\n</tr>\n"
        )


def _link(command: Command) -> str:
    if not command.params and not command.mutating:
        return f"<a href='{command.path}'>{command.path}</a>"
    method = "post" if command.mutating else "get"
    style = "" if command.mutating else " class='button-as-link'"
    return (
        f"<form action='{command.path}' method='{method}' id='{command.path}' class='home-form'>\n"
        f"    <button{style}>{command.path}</button>\n  </form>"
    )


def _input(command: Command, param: Param, ident: str) -> str:
    common = f"name='{param.name}' id='{ident}' form='{command.path}'"
    if param.choices:
        options = "".join(f"      <option value='{choice}'>{choice}</option>\n" for choice in param.choices)
        return f"\n    <select {common}>\n{options}    </select>\n  "
    return f"<input type='checkbox' {common}>" if param.flag else f"<input type='text' {common} />"
