"""Nothing that a person says, shows or is told is in the event log: no eight bytes of it.

The search is shown to find what is there; words that are the log's own are not searched for.
"""

import hashlib
import logging
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from discreet.assistant import Assistant, Note, Notes, Reply, Turn, load_policy
from discreet.assistant.emergency import is_emergency
from discreet.data import Question
from discreet.errors import DiscreetError
from discreet.journal import NAMES, Event, Journal, Kind
from discreet.model import Vlm, load

WINDOW_BYTES = 8
BEGINNINGS = ["", "Why do I sleep badly after coffee? ", "What is a fever? ", "I want to die. "]
words = st.text(  # the log's own numbers are filled up with zeros
    st.characters(codec="utf-8", categories=["L", "N", "Zs"], exclude_characters="0"),
    min_size=12,
    max_size=40,
)
names = st.text(st.characters(codec="ascii", categories=["L"]), min_size=10, max_size=30)
names = names.filter(lambda word: word not in NAMES)  # Hypothesis also draws words of our files


def windows(*texts: str | None) -> set[bytes]:
    """Return every eight bytes of some texts, as they are and as hex digits."""
    raw = [(text or "").encode("utf-8", "replace") for text in texts]
    plain = {data[at : at + WINDOW_BYTES] for data in raw for at in range(len(data) - 7)}
    return plain | {window.hex().encode() for window in plain}


OWN = windows(
    *NAMES,
    *Kind,
    *(f'"{field.name}":' for field in fields(Event)),
    "declared",
    "estimated",
    "gated",
)


def found_in(folder: Path, content: set[bytes]) -> set[bytes]:
    """Return what of the content is in a file below a folder, or in a file's name."""
    data = [bytes(path.relative_to(folder)) for path in folder.rglob("*")]
    data += [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    there = {part[at : at + size] for part in data for size in (8, 16) for at in range(len(part))}
    return (content - OWN) & there


@pytest.fixture(scope="module")
def assistant(questions: list[Question]) -> Assistant:
    notes = [
        Note(id=q.id, question=q.question, text=q.note, context="healthcare") for q in questions
    ]
    vlm: Vlm = load("tiny")
    return Assistant(
        vlm=vlm,
        policy=load_policy("healthcare"),
        notes=replace(Notes.build(notes), least_fit=0.2),
        drafts=1,
    )


def write_down(journal: Journal, assistant: Assistant, turn: Turn, person: str) -> Reply | None:
    """Answer a turn and keep what was decided, as a visit does."""
    kind, reply = Kind.REFUSED, None
    try:
        reply = assistant.reply(turn, max_new_tokens=8)
        kind = Kind.EMERGENCY if is_emergency(turn.question) else Kind.ANSWERED
    except (DiscreetError, ValueError):
        pass
    event = Event(
        kind=kind,
        person=person,
        context=assistant.policy.context,
        purpose="inform",
        policy_sha256=hashlib.sha256(b"policy").hexdigest(),
        model_sha256=assistant.vlm.base_hash,
        adapter="base",
        language="en",
        mode="gated",
    )
    if reply is not None:
        used = tuple((seen.attribute, seen.source) for seen in reply.decision.passed)
        event = replace(event, used=used, milliseconds=round(1000 * reply.seconds))
    journal.add(event)
    return reply


@settings(
    max_examples=16,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    beginning=st.sampled_from(BEGINNINGS),
    said=words,
    name=names,
    file_name=names,
    declared=st.sampled_from(["older_adult", "a text that is no value"]),
)
def test_no_word_file_name_or_answer_reaches_the_log(
    assistant: Assistant,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
    beginning: str,
    said: str,
    name: str,
    file_name: str,
    declared: str,
) -> None:
    caplog.set_level(logging.DEBUG, "discreet")
    pictures, folder = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("log")
    Image.new("RGB", (64, 64), "grey").save(pictures / f"{file_name}.png")
    journal = Journal(folder)
    with Image.open(pictures / f"{file_name}.png") as image:
        question = f"{beginning}{said} my name is {name}"
        turn = Turn(question=question, image=image, declared={"age_band": declared})
        reply = write_down(journal, assistant, turn, "5e" * 16)
    answered = () if reply is None else (reply.text, reply.note_text, reply.note_id)
    content = windows(question, file_name, name, declared * (" " in declared), *answered)
    assert len(journal.events()) == 1
    assert found_in(folder, content) == set()
    assert not [window for window in content if window in caplog.text.encode()]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=names, field=st.sampled_from([field.name for field in fields(Event)]))
def test_no_field_carries_a_word_into_the_log(
    tmp_path_factory: pytest.TempPathFactory, said: str, field: str
) -> None:
    """Also a word that looks like a name, as the value of a field or within its pairs."""
    folder = tmp_path_factory.mktemp("log")
    journal = Journal(folder)
    journal.add(Event(kind=Kind.STARTED))
    for value in (said, ((said, "declared"),), (("age_band", said),)):
        with pytest.raises(ValueError, match="Expected") as refused:
            journal.add(replace(Event(kind=Kind.ANSWERED), **{field: value}))  # type: ignore[arg-type]
        assert said not in str(refused.value)
    assert found_in(folder, windows(said)) == set()


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """A journal that was opened with a word from a question would keep it, and that is seen."""
    journal = Journal(tmp_path, names={"coffeeatmidnight"})
    journal.add(Event(kind=Kind.ANSWERED, purpose="coffeeatmidnight"))
    assert len(found_in(tmp_path, windows("coffeeatmidnight?"))) == 9
    journal.add(Event(kind=Kind.ANSWERED, policy_sha256=b"coffee at midnight, and no sleep".hex()))
    assert found_in(tmp_path, windows(" at midnight"))
