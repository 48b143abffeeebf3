"""`discreet federation`, and what documents and units say of it."""

import configparser
import importlib
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import typer

from discreet.artifacts import read_toml
from discreet.cli import app
from discreet.deployment import NodeFolder, ServerFolder, fingerprint
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy").glob("*.service"))
PAGES = [
    ROOT / "docs" / "deployment.md",
    ROOT / "clients" / "README.md",
    ROOT / "server" / "README.md",
    ROOT / "deploy" / "Containerfile",
    *UNITS,
]


def test_an_owner_joins_and_is_admitted(discreet: Run, tmp_path: Path) -> None:
    status, out, _ = discreet("federation", "init", tmp_path / "s", "--host", "fed.test", "--json")
    made = json.loads(out)
    assert status == 0
    assert made["fingerprint"] == fingerprint(Path(made["ca"]))
    (tmp_path / "people.parquet").touch()
    words = ["--server", "fed.test:8000", "--ca", made["ca"], "--owner", "clinic-a"]
    limits = ["--max-epsilon", "2", "--unit", "user"]
    data = ["--data", tmp_path / "people.parquet"]
    status, out, err = discreet("federation", "join", tmp_path / "n", *words, *data, *limits)
    assert status == 0, err
    assert made["fingerprint"] in err
    assert NodeFolder.open(tmp_path / "n").settings().site == {
        "owner": "clinic-a",
        "data": str(tmp_path / "people.parquet"),
        "ledger": str(tmp_path / "n" / "ledger.jsonl"),
        "max_epsilon": 2.0,
        "unit": "user",
    }
    status, out, _ = discreet("federation", "admit", tmp_path / "s", out.strip(), "--json")
    assert json.loads(out) == {"admitted": ["clinic-a"], "server_knows": False}


def test_a_trial_has_its_owners(discreet: Run, tmp_path: Path) -> None:
    status, _, err = discreet("federation", "init", tmp_path / "s", "--owners", "a, b")
    assert status == 0, err
    folder = ServerFolder.open(tmp_path / "s")
    assert list(folder.admitted()) == ["a", "b"]
    assert read_toml(folder.settings_path)["listen"] == "127.0.0.1"
    sites = [NodeFolder.open(folder.path / "owners" / n).settings().site for n in ("a", "b")]
    assert [site["partition-id"] for site in sites] == [0, 1]
    status, _, err = discreet(
        "federation", "init", tmp_path / "t", "--owners", "a", "--host", "fed.test"
    )
    assert status == 2
    assert not (tmp_path / "t").exists()


def test_a_server_that_is_down_is_told_by_the_exit_status(discreet: Run, tmp_path: Path) -> None:
    discreet("federation", "init", tmp_path / "s", "--owners", "a", "--port", "18999")
    status, out, _ = discreet("federation", "status", tmp_path / "s", "--json")
    found = json.loads(out)
    assert status == 1
    assert found == {
        "is_healthy": False,
        "admitted": 1,
        "connected": 0,
        "certificate_days": found["certificate_days"],
    }
    assert 360 < found["certificate_days"] < 366


def test_a_renewed_certificate_is_another(discreet: Run, tmp_path: Path) -> None:
    discreet("federation", "init", tmp_path / "s")
    folder = ServerFolder.open(tmp_path / "s")
    before = fingerprint(folder.certificate)
    status, out, _ = discreet("federation", "renew", tmp_path / "s")
    assert (status, out.strip()) == (0, str(folder.certificate))
    assert fingerprint(folder.certificate) != before


@pytest.mark.parametrize("command", ["server", "node", "status", "renew", "admit"])
def test_a_folder_of_another_kind_is_refused_with_the_command_that_makes_one(
    discreet: Run, tmp_path: Path, command: str
) -> None:
    status, _, err = discreet("federation", command, tmp_path)
    assert status == 1
    assert re.search("discreet federation (init|join)", err)


def commands_in(path: Path) -> list[list[str]]:
    """Every `discreet federation ...` and `discreet doctor ...` that a file shows."""
    text = path.read_text().replace("\\\n", " ")
    text = re.sub(r"`[^`\n]*`", "", text) if path.suffix != ".md" else text
    if path.suffix == ".md":
        text = "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    found = re.findall(r"(?:^|[\s=/\"])discreet[\" ,]+(federation[^#\n]*)", text)
    return [shlex.split(line.replace('", "', " ").strip(' "]')) for line in found]


def parse(words: list[str]) -> None:
    """Let the real command read its words, without doing anything."""
    group = app.get_command(click.Context(app), words[0])
    assert isinstance(group, click.Group)
    command = group.commands[words[1]]
    command.make_context(words[1], list(words[2:]))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_of_documents_and_units_are_commands(page: Path) -> None:
    found = commands_in(page)
    assert found
    for words in found:
        parse(words)


def test_a_command_that_is_none_is_found_out() -> None:
    with pytest.raises(KeyError):
        parse(["federation", "begin"])
    with pytest.raises(click.UsageError):
        parse(["federation", "server", "/srv", "--insecure"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.name)
def test_a_unit_runs_for_a_user_of_its_own_who_may_write_one_folder(unit: Path) -> None:
    found = configparser.ConfigParser(interpolation=None, strict=False)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(unit)
    service = found["Service"]
    assert service["User"] == "discreet"
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"].startswith("/var/lib/discreet")
    assert service["KillMode"] == "mixed"
    assert "Environment" not in service


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd")
@pytest.mark.parametrize("unit", UNITS, ids=lambda p: p.name)
def test_systemd_reads_the_unit(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if unit.name.partition("@")[0] in line]
    assert [line for line in complaints if "is not executable" not in line] == []


def test_the_container_is_no_root_and_brings_no_key() -> None:
    text = (ROOT / "deploy" / "Containerfile").read_text()
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    assert [words[1] for words in lines if words[0] == "USER"] == ["discreet"]
    copied = [words[1] for words in lines if words[0] in {"COPY", "ADD"}]
    allowed = r"(dist/\*\.whl|constraints\.txt model-packages\.txt) /tmp/"
    assert copied
    assert all(re.fullmatch(allowed, what) for what in copied)


def test_every_command_of_the_group_says_what_it_does() -> None:
    group = typer.main.get_command(importlib.import_module("discreet.cli.federation").app)
    assert isinstance(group, click.Group)
    shown = (ROOT / "docs" / "deployment.md").read_text()
    for name, command in group.commands.items():
        assert command.help, name
        assert f"discreet federation {name}" in shown, name
