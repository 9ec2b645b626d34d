"""The list of modules that mypyc compiles (setup.py), read without building anything.

A class of a compiled module cannot be the base of an interpreted one: making an instance of that is a TypeError at run
time, in compiled builds only (mypyc: "interpreted classes cannot inherit from compiled").  The other way round it works,
but methods and attributes of the base are looked up as in any Python, so a class on the request path must not.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Bases whose classes mypyc leaves to Python, compiled or not.
_PLAIN = {"Protocol", "Enum", "IntEnum", "NamedTuple", "TypedDict"}
#: Bases that mypyc knows.
_KNOWN = {"Generic", "object", "Exception", "ValueError", "dict", "ABC"}


@cache
def compiled() -> frozenset[str]:
    """Dotted names of the modules."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPILED":
            paths = str(ast.literal_eval(node.value)).split()
            return frozenset("twistproxy." + path.replace("/", ".") for path in paths)
    raise AssertionError("setup.py has no COMPILED")


@cache
def classes() -> dict[str, list[str]]:
    """The full names of all classes, those of tests as well, which run on compiled builds, too; with those of their bases
    as far as modules say where these are from."""
    found: dict[str, list[str]] = {}
    for path in sorted([*(ROOT / "twistproxy").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(path.read_text())
        names: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                names.update({one.asname or one.name: f"{node.module}.{one.name}" for one in node.names})
            elif isinstance(node, ast.ClassDef):
                names[node.name] = f"{module}.{node.name}"
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
                found[f"{module}.{node.name}"] = [names.get(base, base) for base in bases]
    return found


def is_compiled(name: str) -> bool:
    """Whether mypyc makes a native class of it."""
    if name.rpartition(".")[0] not in compiled():
        return False
    return not any(base.rpartition(".")[2] in _PLAIN for base in classes()[name])


def test_the_modules_are_there() -> None:
    assert [name for name in compiled() if not (ROOT / (name.replace(".", "/") + ".py")).exists()] == []


def test_no_interpreted_class_inherits_from_a_compiled_one() -> None:
    wrong = [
        (name, base)
        for name, bases in classes().items()
        for base in bases
        if not is_compiled(name) and base in classes() and is_compiled(base)
    ]
    assert wrong == []


def test_no_compiled_class_inherits_from_an_interpreted_one() -> None:
    wrong = [
        (name, base)
        for name, bases in classes().items()
        for base in bases
        if is_compiled(name) and base not in _KNOWN and base.rpartition(".")[2] not in _KNOWN
        if not (base in classes() and is_compiled(base))
    ]
    assert wrong == []
