"""What the site has beside this folder: the README, the command line, and the API of every room."""

import ast
import os
import posixpath
import re
import textwrap
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ALSO = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "clients/README.md": "clients.md",
    "server/README.md": "server.md",
}
"""Files of the project -> their page."""
_EXAMPLE = re.compile(r"^ *>>> .*(?:\n.+)*|(?:^ {4}.+\n?)+", re.MULTILINE)
"""Lines of an example: after `>>>` up to the next empty one, or indented."""
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)#\s]+)(#[^)\s]*)?(\))")


def on_config(config: Any) -> Any:
    """List the rooms where the navigation says `API`."""
    for part in config.nav:
        if isinstance(part, dict) and "Reference" in part:
            part["Reference"].insert(1, {"API": [f"api/{room}.md" for room in rooms()]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add pages that are made of the project itself."""
    made = {page: (ROOT / name).read_text(encoding="utf-8") for name, page in ALSO.items()}
    made["cli.md"] = command_line()
    made |= {f"api/{room}.md": api_of(room) for room in rooms()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **others: Any) -> str:
    """Let links between files of the project lead to their pages; others become words."""
    home = next((name for name, own in ALSO.items() if own == page.file.src_uri), None)
    folder = posixpath.dirname(home if home is not None else f"docs/{page.file.src_uri}")

    def led(found: re.Match[str]) -> str:
        before, target, anchor, after = found.groups()
        if ":" in target:
            return found.group()
        whole = posixpath.normpath(posixpath.join(folder, target))
        if whole in ALSO:
            whole = f"docs/{ALSO[whole]}"
        if not whole.startswith("docs/"):
            return re.sub(r"^!?\[|\]\($", "", before)
        here = posixpath.dirname(page.file.src_uri) or "."
        there = posixpath.relpath(whole.removeprefix("docs/"), here)
        return f"{before}{there}{anchor or ''}{after}"

    return _LINK.sub(led, markdown)


def rooms() -> list[str]:
    """Return the rooms that have a front door."""
    doors = sorted((ROOT / "src" / "discreet").glob("*/__init__.py"))
    return [door.parent.name for door in doors if "__all__" in door.read_text("utf-8")]


def api_of(room: str) -> str:
    """Return the page of a room: what it is for, and all that its front door lets out.

    An example in the docstring of a room is code, and not a link.
    """
    tree = ast.parse((ROOT / "src" / "discreet" / room / "__init__.py").read_text("utf-8"))
    names = next(
        (
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ),
        [],
    )
    parts = [f"# discreet.{room}", _EXAMPLE.sub(_fenced, ast.get_docstring(tree) or "")]
    parts += [f"::: discreet.{room}.{name}" for name in names]
    return "\n\n".join(parts) + "\n"


def _fenced(found: re.Match[str]) -> str:
    return f"\n```python\n{textwrap.dedent(found.group()).strip()}\n```\n"


def command_line() -> str:
    """Return the help of every command."""
    from discreet.cli import app

    os.environ["COLUMNS"] = "100"
    parts = ["# Command line", "What `discreet COMMAND --help` says, of every command."]
    for name, command in commands(app, ("discreet",)):
        context = click.Context(command, info_name=name)
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts += [f"## {name}", (command.help or "").replace("\b", "").strip()]
        parts.append(f"```text\n{usage}\n```")
        rows = [one.get_help_record(context) for one in command.get_params(context)]
        told = [row for row in rows if row and row[0] != "--help"]
        if told:
            lines = [f"| `{a.replace('|', '/')}` | {b.replace('|', '/')} |" for a, b in told]
            parts.append("\n".join(["| option | what for |", "|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


def commands(command: click.Command, path: tuple[str, ...]) -> list[tuple[str, click.Command]]:
    """Return a command and those below it, by what is typed."""
    found = [(" ".join(path), command)] if not isinstance(command, click.Group) else []
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1])
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                found += commands(below, (*path, name))
    return found
