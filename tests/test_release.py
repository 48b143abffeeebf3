"""What is released is whole, the same whenever it is built, and says who made what."""

import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from discreet.cli.doctor import FOR_WHAT

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source archive and the wheel made of it."""
    folder = tmp_path_factory.mktemp("built")
    epoch = script.copy_of_commit(folder / "copy")
    archive, wheel = script.build(folder / "copy", folder / "out", epoch=epoch)
    return archive, wheel


def test_a_wheel_holds_every_file_of_the_package_and_is_small_enough(
    built: tuple[Path, Path], script: ModuleType
) -> None:
    wheel = built[1]
    assert wheel.stat().st_size < script.MOST_WHEEL_BYTES
    with zipfile.ZipFile(wheel) as files:
        inside = {name for name in files.namelist() if name.startswith("discreet/")}
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "HEAD", "src/discreet"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert inside >= {name.removeprefix("src/") for name in listed}


def test_the_source_holds_what_its_own_words_name(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert names >= {
        "Makefile",
        "constraints.txt",
        "model-packages.txt",
        "docs/tutorial.md",
        "tests/test_release.py",
        "scripts/release.py",
    }


def test_an_archive_made_at_another_time_by_somebody_else_is_the_same(script: ModuleType) -> None:
    def packed(order: list[str], *, mtime: int, uname: str, mode: int) -> bytes:
        told = io.BytesIO()
        with tarfile.open(fileobj=told, mode="w:gz") as files:
            for name in order:
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.uname, member.mode = len(name), mtime, uname, mode
                files.addfile(member, io.BytesIO(name.encode()))
        return told.getvalue()

    one = packed(["a", "b"], mtime=1, uname="ann", mode=0o664)
    two = packed(["b", "a"], mtime=2, uname="bob", mode=0o600)
    assert one != two
    told = script.without_traces(one, epoch=5)
    assert told == script.without_traces(two, epoch=5)
    with tarfile.open(fileobj=io.BytesIO(told)) as files:
        assert [(m.name, m.mtime, m.uname) for m in files] == [("a", 5, ""), ("b", 5, "")]
        assert files.extractfile("b").read() == b"b"  # type: ignore[union-attr]


def test_the_wheel_alone_trains_and_answers(
    built: tuple[Path, Path], script: ModuleType, tmp_path: Path
) -> None:
    """Its own files are all that is found of the package; what it requires is as installed here."""
    place = tmp_path / "installed"
    with zipfile.ZipFile(built[1]) as files:
        files.extractall(place)
    python = [sys.executable, "-P", "-c", "import sys; from discreet.cli import main; main()"]
    where = "import discreet; print(discreet.__file__)"
    environment = os.environ | {"PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(sys.executable, "-P", "-c", where).startswith(str(place))
    for words in script.TRIED:
        run(*python, *words)
    assert (tmp_path / "runs" / "tried" / "card.json").exists()


def test_the_list_of_parts_has_every_pin(script: ModuleType, tmp_path: Path) -> None:
    parts = json.loads(script.list_parts(tmp_path).read_text())["components"]
    listed = {(part["name"].lower(), part["version"]) for part in parts}
    pins = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert len(pins) > 150
    assert {(name.lower(), version) for name, version in pins} <= listed
    digest = hashlib.sha256((tmp_path / "sbom.cdx.json").read_bytes()).hexdigest()
    script.list_parts(tmp_path)
    assert hashlib.sha256((tmp_path / "sbom.cdx.json").read_bytes()).hexdigest() == digest


def test_everything_that_any_extra_brings_here_has_its_pin() -> None:
    """By what installed packages say that they need, from this one on."""
    pinned = {
        canonicalize_name(name): version
        for name, version in re.findall(
            r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE
        )
    }
    extras = frozenset(importlib.metadata.metadata("discreet").get_all("Provides-Extra") or ())
    asked, seen = [("discreet", extras)], set()
    while asked:
        name, wanted = asked.pop()
        for text in importlib.metadata.requires(name) or ():
            need = Requirement(text)
            settings = [{"extra": extra} for extra in ("", *wanted)]
            if need.marker and not any(need.marker.evaluate(one) for one in settings):
                continue
            key = (canonicalize_name(need.name), frozenset(need.extras))
            if key not in seen and find_distribution(key[0]):
                seen.add(key)
                asked.append(key)
    needed = {name for name, _ in seen} - {"discreet"}
    assert len(needed) > 100
    installed = {name: Version(importlib.metadata.version(name)).public for name in needed}
    assert {
        name: version for name, version in installed.items() if pinned.get(name) != version
    } == {}, "a CPU build is the same version"


def find_distribution(name: str) -> bool:
    """Say whether a package is here: some are for other systems, or for extras nobody asked for."""
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def test_one_version_one_licence_one_set_of_extras_are_told_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    extras = set(PROJECT["optional-dependencies"]) - {"dev"}
    assert set(FOR_WHAT) == extras
    told = (ROOT / "docs" / "release.md").read_text()
    for name, what in FOR_WHAT.items():
        assert f"| `{name}` | {what} |" in told
