"""The run folder: what is written is whole, what is read was written."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet import artifacts
from discreet.artifacts import RunFolder, code_commit, read_json, sha256_of_folder
from discreet.errors import ArtifactCorrupt, ArtifactError, RunExists, UnsafeFile

ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from discreet.artifacts import RunFolder, read_json, sha256_of_folder
run = RunFolder.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
{action}
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "first")


def line(value: int) -> dict[str, object]:
    return {"round": value, "name": "replies", "value": value, "visibility": "released"}


def on_a_full_disk(run: RunFolder, action: str) -> str:
    """Run one action where no file may grow past 4 KiB; return the error's class."""
    script = ON_A_FULL_DISK.format(action=action)
    done = subprocess.run(
        [sys.executable, "-c", script, str(run.path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1].partition(":")[0]


def test_create_refuses_a_folder_in_use(run: RunFolder) -> None:
    run.config_path.write_text("seed = 0\n")
    with pytest.raises(RunExists, match="'first' in use"):
        RunFolder.create(run.path)
    assert run.config_path.read_text() == "seed = 0\n"


def test_create_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunExists):
        RunFolder.create(tmp_path / "file")


def test_create_takes_an_empty_folder(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path).id == tmp_path.name


def test_open_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="found no folder"):
        RunFolder.open(tmp_path / "missing")


def test_files_lie_where_the_design_says(run: RunFolder) -> None:
    files = (run.config_path, run.ledger_path, run.adapter_dir, run.card_path, run.metrics_path)
    assert [p.name for p in files] == [
        "config.toml",
        "ledger.jsonl",
        "adapter",
        "card.json",
        "metrics.jsonl",
    ]
    assert {p.parent for p in (*files, run.audits_dir, run.checkpoint_path)} == {run.path}


def test_json_comes_back_and_leaves_no_other_file(run: RunFolder) -> None:
    run.write_json("audits/membership.json", {"score": 0.5})
    assert run.read_json("audits/membership.json") == {"score": 0.5}
    assert [p.name for p in run.audits_dir.iterdir()] == ["membership.json"]


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', "\xff\xfe"])
def test_damaged_json_is_named_and_left_alone(run: RunFolder, text: str) -> None:
    run.card_path.write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactCorrupt, match=r"card\.json"):
        run.read_json("card.json")
    assert run.card_path.read_text(encoding="latin-1") == text


def test_missing_json_is_corrupt(run: RunFolder) -> None:
    with pytest.raises(ArtifactCorrupt, match="found none"):
        run.read_json("card.json")


@pytest.mark.parametrize("text", ["seed = ", "= 1", "\xff"])
def test_damaged_toml_is_named(run: RunFolder, text: str) -> None:
    run.config_path.write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactCorrupt, match=r"config\.toml"):
        artifacts.read_toml(run.config_path)


def test_a_value_json_cannot_hold_leaves_the_older_file(run: RunFolder) -> None:
    run.write_json("card.json", {"seed": 1})
    with pytest.raises(ValueError, match="Out of range"):
        run.write_json("card.json", {"seed": float("nan")})
    assert run.read_json("card.json") == {"seed": 1}


def test_a_failing_rename_leaves_the_older_file(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write_json("card.json", {"seed": 1})

    def fail(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        run.write_json("card.json", {"seed": 2})
    assert [p.name for p in run.path.iterdir()] == ["card.json"]
    assert run.read_json("card.json") == {"seed": 1}


def test_a_full_disk_leaves_the_older_file(run: RunFolder) -> None:
    run.write_json("card.json", {"seed": 1})
    assert on_a_full_disk(run, 'run.write_json("card.json", {"a": "x" * 10_000})') == "OSError"
    assert [p.name for p in run.path.iterdir()] == ["card.json"]
    assert run.read_json("card.json") == {"seed": 1}


def test_a_full_disk_leaves_the_older_metrics(run: RunFolder) -> None:
    run.append_metric(line(1))
    before = run.metrics_path.read_bytes()
    assert on_a_full_disk(run, 'run.append_metric({"name": "x" * 10_000})') == "OSError"
    assert run.metrics_path.read_bytes() == before
    run.append_metric(line(2))
    assert run.read_metrics() == [line(1), line(2)]


def test_no_metrics_is_an_empty_list(run: RunFolder) -> None:
    assert run.read_metrics() == []


@pytest.mark.parametrize("torn", [0, 1, 2**16 - 1, 2**16, 2**17 + 5])
@pytest.mark.parametrize("whole", [b"", b"first\n", b"x" * 2**17 + b"\n"], ids=len)
def test_a_torn_end_is_cut_off_however_long_it_is(tmp_path: Path, whole: bytes, torn: int) -> None:
    """The last newline is looked for from the end, in blocks of 64 KiB."""
    path = tmp_path / "lines"
    path.write_bytes(whole + b"t" * torn)
    artifacts.append_line(path, b"last")
    assert path.read_bytes() == whole + b"last\n"


@given(cut=st.integers(min_value=1, max_value=60))
def test_a_torn_last_line_is_left_out_and_then_replaced(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    run = RunFolder.create(tmp_path_factory.mktemp("run"))
    for value in (1, 2):
        run.append_metric(line(value))
    whole = run.metrics_path.read_bytes()
    run.metrics_path.write_bytes(whole[:-cut])
    assert run.read_metrics() == [line(1)]
    run.append_metric(line(3))
    assert run.read_metrics() == [line(1), line(3)]


@given(
    st.binary(max_size=20), st.binary(max_size=20), st.sampled_from([1, 3, 2**18]), st.booleans()
)
def test_lines_after_those_known_are_those_of_the_whole_file(
    known: bytes, more: bytes, block: int, is_same: bool
) -> None:
    """Against the slow way, at several sizes of a block."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "_COMPARED_BYTES", block)
        path = Path(folder) / "lines"
        path.write_bytes((known if is_same else known[::-1]) + more)
        found = artifacts.read_lines_after(path, bytearray(known))
        data = path.read_bytes()
    if not data.startswith(known):
        assert found is None
    else:
        *lines, _torn = data[len(known) :].split(b"\n")
        assert found == b"".join(each + b"\n" for each in lines)


@pytest.mark.parametrize("middle", ["{", "[1]", "7"])
def test_a_damaged_line_in_the_middle_is_corrupt(run: RunFolder, middle: str) -> None:
    run.metrics_path.write_text(f"{json.dumps(line(1))}\n{middle}\n{json.dumps(line(2))}\n")
    with pytest.raises(ArtifactCorrupt, match=r"metrics\.jsonl"):
        run.read_metrics()


def test_file_hash_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 100
    (tmp_path / "file").write_bytes(data)
    assert artifacts.sha256_of_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_folder_hash_sees_names_bytes_and_subfolders(tmp_path: Path) -> None:
    def digest(files: dict[str, bytes]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, data in files.items():
            artifacts.write_bytes(folder / name, data)
        return artifacts.sha256_of_folder(folder)

    same = digest({"a": b"1", "b/c": b"2"})
    assert same == digest({"b/c": b"2", "a": b"1"})
    others = [{"a": b"1", "b/c": b"3"}, {"a": b"1", "c": b"2"}, {"a": b"1"}, {"a": b"2", "c": b"1"}]
    assert len({same, *map(digest, others)}) == 5


def test_an_empty_folder_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(ArtifactCorrupt, match="found none"):
        artifacts.sha256_of_folder(tmp_path)


@pytest.mark.parametrize("name", ["model.bin", "a/b.pt", "x.PKL", "x.pth", "x.pickle", "x.ckpt"])
def test_formats_that_run_code_are_refused(tmp_path: Path, name: str) -> None:
    artifacts.write_bytes(tmp_path / "adapter_model.safetensors", b"")
    artifacts.write_bytes(tmp_path / name, b"")
    with pytest.raises(UnsafeFile, match=Path(name).name):
        artifacts.sha256_of_folder(tmp_path)


def test_a_new_adapter_takes_the_place_of_the_old_one_whole(run: RunFolder) -> None:
    for names in (["a", "b"], ["b"]):
        with run.new_adapter() as folder:
            for name in names:
                (folder / name).touch()
        assert sorted(p.name for p in run.adapter_dir.iterdir()) == names
    assert [p.name for p in run.path.iterdir()] == ["adapter"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_an_adapter_is_replaced_whether_or_not_the_system_exchanges_folders(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(artifacts, "_exchanged", lambda *_: False)
    for text in ("old", "new"):
        with run.new_adapter() as folder:
            (folder / "a").write_text(text)
    assert (run.adapter_dir / "a").read_text() == "new"
    assert [p.name for p in run.path.iterdir()] == ["adapter"]


def test_what_killed_processes_left_is_removed_and_nothing_else(run: RunFolder) -> None:
    (run.path / ".card.json.x1y2.tmp").touch()
    (run.path / ".adapter.x1y2").mkdir()
    (run.path / ".adapter.x1y2" / "a").touch()
    for name in (".lock", "card.json", "notes.tmp"):
        (run.path / name).touch()
    run.remove_torn()
    assert sorted(p.name for p in run.path.iterdir()) == [".lock", "card.json", "notes.tmp"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_half_written_adapter_leaves_the_old_one(
    run: RunFolder, error: type[BaseException]
) -> None:
    with run.new_adapter() as folder:
        (folder / "old").touch()
    with pytest.raises(error), run.new_adapter() as folder:  # noqa: PT012 - the block is the test
        (folder / "new").touch()
        raise error
    assert [p.name for p in run.adapter_dir.iterdir()] == ["old"]
    assert [p.name for p in run.path.iterdir()] == ["adapter"]


def test_an_unsafe_new_adapter_is_refused(run: RunFolder) -> None:
    with pytest.raises(UnsafeFile), run.new_adapter() as folder:
        (folder / "adapter.bin").touch()
    assert not run.adapter_dir.exists()


@pytest.mark.parametrize("target", ["file", "folder"])
def test_links_are_refused_where_files_are_vouched_for(tmp_path: Path, target: str) -> None:
    """A hash that stops at a link would vouch for files that it never saw."""
    adapter, secret = tmp_path / "adapter", tmp_path / "secret"
    adapter.mkdir()
    secret.mkdir()
    (adapter / "a.json").write_text("{}")
    (secret / "b.json").write_text("{}")
    (adapter / "link").symlink_to(secret if target == "folder" else secret / "b.json")
    with pytest.raises(UnsafeFile, match="link"):
        sha256_of_folder(adapter)


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 5], ids=["deep", "torn"])
def test_json_that_cannot_be_read_is_corrupt(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(ArtifactCorrupt):
        read_json(tmp_path / "card.json")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "card.json")
    with pytest.raises(ArtifactCorrupt):
        read_json(tmp_path / "card.json")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ArtifactCorrupt):
        read_json(tmp_path / "loop")


def test_the_commit_is_that_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert (code_commit() or "").removesuffix("-dirty") == head.stdout.strip()
    monkeypatch.setenv("PATH", "")
    assert code_commit() is None


def test_code_that_lies_in_a_repository_of_something_else_has_no_commit(tmp_path: Path) -> None:
    """As an installed wheel does in a project's own environment."""
    site = tmp_path / ".venv" / "discreet"
    shutil.copytree(Path(artifacts.__file__).parent, site, ignore=only_code)
    for words in (
        ("init", "-q"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"),
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    said = subprocess.run(
        [sys.executable, "-c", "from discreet.artifacts import code_commit; print(code_commit())"],
        env=os.environ | {"PYTHONPATH": str(site.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "None"


def only_code(folder: str, names: list[str]) -> list[str]:
    """Leave out all but the modules at the top, which are enough to be imported."""
    return [name for name in names if not name.endswith(".py")]
