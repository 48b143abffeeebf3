"""Imports point downwards, and enter a room only through its front door."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "discreet"
BASE = {"errors", "types", "artifacts", "intervals", "metrics", "quiet"}
MAY_IMPORT = {
    "errors": set(),
    "types": {"errors"},
    "artifacts": {"errors", "types"},
    "intervals": set(),
    "metrics": {"errors", "types"},
    "quiet": set(),
    "registry": BASE,
    "people": BASE,
    "figures": BASE | {"people"},
    "studio": BASE | {"people", "figures"},
    "readers": BASE,
    "data": BASE | {"people", "readers"},
    "sources": BASE | {"data"},
    "model": BASE,
    "perception": BASE | {"model"},
    "privacy": BASE | {"data", "model"},
    "recipes": BASE | {"data", "model", "perception", "privacy", "readers"},
    "aggregation": BASE,
    "secagg": BASE,
    "federated": BASE
    | {"aggregation", "data", "model", "privacy", "registry", "secagg", "sources"},
    "deployment": BASE | {"federated"},
    "report": BASE | {"registry", "privacy"},
    "assistant": BASE | {"model", "perception", "readers", "registry"},
    "audit": BASE | {"data", "model", "perception", "registry"},
    "bench": BASE
    | {"people", "data", "model", "perception", "privacy", "readers", "recipes", "registry"}
    | {"aggregation", "audit", "federated", "figures", "studio"},
}
EVERYTHING = set(MAY_IMPORT)
FOLDERS = [PACKAGE, ROOT / "clients", ROOT / "server", ROOT / "demos"]
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))


def room_of(path: Path) -> str:
    if PACKAGE not in path.parents:
        return "edge"
    if path.name == "__main__.py":
        return "cli"
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[str]:
    """Dotted names below the package that a file imports, relative ones resolved."""
    parents = ["discreet", *path.relative_to(PACKAGE).parts[:-1]] if PACKAGE in path.parents else []
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*start, node.module or ""]).strip(".")
            names += (
                [f"{module}.{alias.name}" for alias in node.names]
                if module == "discreet"
                else [module]
            )
    return [name.removeprefix("discreet.") for name in names if name.startswith("discreet.")]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down_and_use_front_doors(path: Path) -> None:
    room = room_of(path)
    allowed = MAY_IMPORT.get(room, EVERYTHING)  # the command line and the edge may use every room
    for name in imports_of(path):
        target, *inside = name.split(".")
        if target in {room, "__version__"}:
            continue
        assert target in allowed, f"{room} may not import {target}"
        assert not inside, f"import from discreet.{target}, not discreet.{name}"


def test_every_room_is_listed() -> None:
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__", "cli"}
    assert rooms <= EVERYTHING


@pytest.mark.parametrize(
    "room", sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py") if p.parent.name != "cli")
)
def test_front_doors_are_sorted_and_complete(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text())
    assert ast.get_docstring(tree), "a front door says what the room is for"
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert listed or not imported
    if listed:
        assert set(listed[0]) == imported
        constants = sorted(n for n in listed[0] if n.isupper())
        classes = sorted(n for n in listed[0] if n[0].isupper() and not n.isupper())
        functions = sorted(n for n in listed[0] if n[0].islower())
        assert listed[0] == [*constants, *classes, *functions]


def test_functions_stay_short() -> None:
    """No function body, docstring left out, is longer than 60 lines."""
    long = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                doc = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
                assert doc is not None
                assert node.end_lineno is not None
                if node.end_lineno - doc > 60:
                    long.append(f"{path.name}:{node.name}")
    assert not long
