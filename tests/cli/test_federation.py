"""`discreet federation`, and what documents and units say of it."""

import configparser
import importlib
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
import typer

from discreet.artifacts import read_toml
from discreet.cli import app, federation_run
from discreet.deployment import NodeFolder, OwnerNode, ServerFolder, fingerprint
from discreet.errors import DeploymentError, FederationError, PolicyError
from discreet.federated import TrainConfig, plan_of
from discreet.federated.site import OwnerSite
from discreet.keys import read_roster
from discreet.report import NAMES
from discreet.types import OwnerId
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


def test_an_owner_joins_and_is_admitted(
    discreet: Run, tmp_path: Path, portraits_file: Path
) -> None:
    status, out, _ = discreet("federation", "init", tmp_path / "s", "--host", "fed.test", "--json")
    made = json.loads(out)
    assert status == 0
    assert made["fingerprint"] == fingerprint(Path(made["ca"]))
    words = ["--server", "fed.test:8000", "--ca", made["ca"], "--owner", "clinic-a"]
    limits = ["--max-epsilon", "2", "--unit", "user"]
    data = ["--data", portraits_file]
    status, out, err = discreet("federation", "join", tmp_path / "n", *words, *data, *limits)
    assert status == 0, err
    node = NodeFolder.open(tmp_path / "n")
    (own,) = read_roster(node.signing_public).fingerprints().values()
    assert made["fingerprint"] in err
    assert 'examples = "portraits"' in err
    assert own in err
    assert node.settings().site == {
        "owner": "clinic-a",
        "data": str(portraits_file),
        "ledger": str(tmp_path / "n" / "ledger.jsonl"),
        "max_epsilon": 2.0,
        "unit": "user",
        "signing_key": str(node.signing_key),
        "roster": str(node.roster),
    }
    status, out, _ = discreet("federation", "admit", tmp_path / "s", out.strip(), "--json")
    assert json.loads(out) == {"admitted": ["clinic-a"], "server_knows": False}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--max-epsilon", "-1"], "max_epsilon"),
        (["--max-delta", "nan"], "max_delta"),
        (["--unit", "person"], "unit"),
        (["--rank", "0"], "lora_rank"),
        (["--data", "gone.parquet"], "--data of `join`, data in [site] of node.toml), found none"),
        (
            ["--data", "."],
            "found a folder. Make a file of what is in it: `discreet data",
        ),
        (["--data", "server/server.toml"], "image, identity_id, age_band, expression"),
        (["--root", "gone"], "root"),
        (["--root", "."], "shard of conversations"),
        (["--base", "gone"], "base"),
        (["--ledger", "server"], "ledger"),
        (["--owner", "Dr. No"], "pseudonym"),
        (["--server", "fed.test"], "host:port"),
        (["--ca", "server/server.key"], "certificate"),
    ],
)
def test_what_a_node_would_refuse_is_refused_when_an_owner_joins(
    discreet: Run,
    tmp_path: Path,
    portraits_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    discreet("federation", "init", "server")
    right = ["--server", "fed.test:8000", "--ca", "server/ca.crt", "--owner", "clinic-a"]
    words = [*right, "--data", portraits_file, *wrong]
    before = sorted(tmp_path.iterdir())
    status, _, err = discreet("federation", "join", "node", *words)
    assert status in (1, 2)
    assert said in " ".join(err.split())
    assert "Dr. No" not in err
    assert sorted(tmp_path.iterdir()) == before


def test_owners_make_a_roster_without_the_server(discreet: Run, tmp_path: Path) -> None:
    discreet("federation", "init", tmp_path / "s", "--owners", "a,b")
    nodes = [NodeFolder.open(tmp_path / "s" / "owners" / name) for name in "ab"]
    keys, out = [node.signing_public for node in nodes], tmp_path / "roster.pem"
    status, shown, err = discreet("federation", "roster", *keys, "--out", out)
    assert status == 0, err
    assert out.read_bytes() == nodes[0].roster.read_bytes() == nodes[1].roster.read_bytes()
    found = [line.split("  ") for line in shown.splitlines()]
    assert found == sorted(map(list, read_roster(out).fingerprints().items()))
    status, shown, _ = discreet("federation", "roster", out, "--json")
    assert json.loads(shown) == {"roster": None, "owners": dict(map(tuple, found))}
    status, _, err = discreet("federation", "roster", nodes[0].signing_key)
    assert status == 1
    assert "public key" in err
    secret = nodes[0].signing_key.read_text().splitlines()[1]
    assert secret not in err


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
    status, _, err = discreet("federation", "init", tmp_path / "t", "--owners", "a,b,a")
    assert status == 1
    assert "different owners" in err
    assert not (tmp_path / "t").exists()


def test_a_server_that_is_down_is_told_by_the_exit_status(discreet: Run, tmp_path: Path) -> None:
    discreet("federation", "init", tmp_path / "s", "--owners", "a", "--port", "18999")
    status, out, _ = discreet("federation", "status", tmp_path / "s", "--json")
    found = json.loads(out)
    assert status == 1
    owner = {"owner": "a", "node": None, "is_online": False, "since": None}
    assert found == {
        "is_healthy": False,
        "certificate_days": found["certificate_days"],
        "admitted": 1,
        "connected": 0,
        "owners": [owner],
        "missing": ["The server does not answer: start it with `discreet federation server`."],
    }
    assert 360 < found["certificate_days"] < 366
    status, out, err = discreet("federation", "status", tmp_path / "s")
    assert status == 1
    assert "server: does not answer at localhost:18999" in out
    assert re.search(r"^a +unknown$", out, re.MULTILINE)
    assert "`discreet federation server" in err


def test_before_anybody_is_admitted_the_first_step_is_told_first(
    discreet: Run, tmp_path: Path
) -> None:
    discreet("federation", "init", tmp_path / "s", "--port", "18999")
    status, out, err = discreet("federation", "status", tmp_path / "s")
    assert status == 1
    assert "owner" not in out
    first, second = err.splitlines()
    assert "`discreet federation admit`" in first
    assert "`discreet federation server`" in second


def test_a_unit_that_is_none_is_shown(discreet: Run, tmp_path: Path) -> None:
    words = ["--server", "fed.test:8000", "--ca", "ca.crt", "--owner", "a", "--data", "a.parquet"]
    _, _, err = discreet("federation", "join", tmp_path / "n", *words, "--unit", "people")
    assert "Expected one of example, user, owner as unit, got people." in " ".join(err.split())


def test_the_owner_of_the_deployment_page_accepts_its_plan() -> None:
    page = PAGES[0].read_text()
    (text,) = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    plan = TrainConfig(**tomllib.loads(text))
    (join,) = (words for words in commands_in(PAGES[0]) if words[1] == "join")
    given = dict(zip(join, join[1:], strict=False))
    site = OwnerSite(
        owner=OwnerId(given["--owner"]),
        ledger=Path("ledger.jsonl"),
        data=Path(given["--data"]),
        max_epsilon=float(given["--max-epsilon"]),
        unit=given["--unit"],
    )
    site.check(plan)
    plan_of(plan)
    with pytest.raises(PolicyError, match="hides a whole user"):
        site.check(TrainConfig(num_owners=3))


def test_a_run_begins_nothing_without_a_server(discreet: Run, tmp_path: Path) -> None:
    discreet("federation", "init", tmp_path / "s", "--owners", "a", "--port", "18999")
    (tmp_path / "plan.toml").write_text('base = "tiny"\nnum_owners = 1\nmin_replies = 1\n')
    words = (tmp_path / "s", tmp_path / "plan.toml", "--out", tmp_path / "run")
    status, _, err = discreet("federation", "run", *words)
    assert status == 1
    assert "`discreet federation server`" in " ".join(err.split())
    assert not (tmp_path / "run").exists()


def test_names_of_owners_are_in_the_run_folder_before_a_round(
    discreet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FederationError("Expected 2 replies, got 1: node 7 did not train.")

    monkeypatch.setattr(federation_run, "require_ready", lambda *_, **__: {"node-7": "clinic-a"})
    monkeypatch.setattr(federation_run, "submit", refuse)
    discreet("federation", "init", tmp_path / "s", "--owners", "clinic-a")
    (tmp_path / "plan.toml").write_text('base = "tiny"\nnum_owners = 1\nmin_replies = 1\n')
    words = (tmp_path / "s", tmp_path / "plan.toml", "--out", tmp_path / "run")
    status, _, err = discreet("federation", "run", *words)
    assert status == 1
    assert "clinic-a (node-7) did not train" in err
    assert json.loads((tmp_path / "run" / NAMES).read_text()) == {"node-7": "clinic-a"}


def seen(owner: str | None, node: int | None, **changes: object) -> OwnerNode:
    return OwnerNode(**{"owner": owner, "node": node, "is_online": False, "since": None, **changes})


ONLINE = {"is_online": True, "since": "2026-11-22T17:23:43.596592+00:00"}
LOST = {"since": "2026-11-22T18:00:00+00:00"}


def test_who_is_there_and_what_is_missing_is_told_in_words(
    discreet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    discreet("federation", "init", tmp_path / "s", "--owners", "a,b,c")
    owners = [seen("a", 12, **ONLINE), seen("b", 345, **LOST), seen("c", 6), seen("d", None)]
    monkeypatch.setattr(federation_run, "is_healthy", lambda _: True)
    monkeypatch.setattr(federation_run, "owners_of", lambda *_, **__: [*owners, seen(None, 7)])
    status, out, err = discreet("federation", "status", tmp_path / "s")
    assert status == 0
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["owner", "node", "state", "since", "(UTC)"],
        ["a", "12", "online", "2026-11-22", "17:23:43"],
        ["b", "345", "offline", "2026-11-22", "18:00:00"],
        ["c", "6", "never", "connected"],
        ["d", "unknown"],
        ["(not", "admitted)", "7", "never", "connected"],
    ]
    lines = err.splitlines()
    assert [line.partition(": ")[2][:2] for line in lines] == ["b ", "c ", "d ", "No"]
    assert "`discreet federation node`" in lines[1]
    assert "`discreet federation admit`" in lines[2]
    status, out, _ = discreet("federation", "status", tmp_path / "s", "--json")
    found = json.loads(out)
    assert (found["connected"], len(found["missing"])) == (1, 4)
    with pytest.raises(DeploymentError, match="Expected 2 or more owners of 3.*b is not connected"):
        federation_run.require_ready(ServerFolder.open(tmp_path / "s"), num_owners=3, needed=2)
    names = federation_run.require_ready(ServerFolder.open(tmp_path / "s"), num_owners=3, needed=1)
    assert names == {"node-12": "a", "node-345": "b", "node-6": "c"}


def test_a_certificate_that_expired_is_told_before_the_server_is_asked(
    discreet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    discreet("federation", "init", tmp_path / "s", "--owners", "a")
    monkeypatch.setattr(federation_run, "days_left", lambda _: -1)
    with pytest.raises(DeploymentError, match="discreet federation renew"):
        federation_run.require_ready(ServerFolder.open(tmp_path / "s"), num_owners=1, needed=1)


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
