"""Nothing that a visitor says, shows or is told is in the folders that a visit keeps.

The journal and the consent store are the real ones, as they lie on disk while the visit goes on,
with what the database writes beside itself. The search is that of `test_no_content_in_the_log`.
"""

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from discreet.assistant import Assistant, Note, Notes, load_policy
from discreet.consent import ConsentStore
from discreet.data import Question
from discreet.errors import DiscreetError
from discreet.journal import Event, Journal, Kind
from discreet.model import load
from discreet.service import Engine, Visit, names_of
from discreet.types import FaceCount, Observation, Percept
from tests.contracts.test_no_content_in_the_log import BEGINNINGS, found_in, names, windows, words

AGE = "inform/age_band"


class Eyes:
    """Sees an older adult in every picture."""

    def perceive(self, image: Image.Image, attributes: Collection[str]) -> Percept:
        seen = Observation(
            attribute="age_band", value="older_adult", source="estimated", confidence=0.95
        )
        return Percept(
            present=None, faces=FaceCount(value="one", confidence=0.95), observations=(seen,)
        )


@pytest.fixture(scope="module")
def engine(questions: list[Question]) -> Iterator[Engine]:
    notes = [
        Note(id=q.id, question=q.question, text=q.note, context="healthcare") for q in questions
    ]
    assistant = Assistant(
        vlm=load("tiny"),
        policy=load_policy("healthcare"),
        notes=Notes.build(notes),
        perceiver=Eyes(),
        drafts=1,
    )
    with Engine(assistant) as engine:
        yield engine


def go_through(visit: Visit, question: str, picture: Path) -> list[str]:
    """Do everything that somebody can do, and return what they were told."""
    told: list[str] = []
    visit.disclosed()
    visit.refuse([AGE])
    visit.give([AGE])
    with Image.open(picture) as image:
        image.load()
        for ask in (lambda: visit.ask(question, image), visit.retry):
            try:
                done = ask().result(60)
            except (DiscreetError, ValueError) as error:
                told.append(str(error))
            else:
                told += [done.reply.text, done.reply.note_text or "", done.why.in_words("en")]
    visit.correct("age_band", "older_adult")
    visit.reject("age_band")
    visit.personalise(False)
    visit.hand_over(["question", "answer"])
    visit.export()
    visit.withdraw([AGE])
    return told


@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(beginning=st.sampled_from(BEGINNINGS), said=words, name=names, file_name=names)
def test_no_word_of_a_visit_reaches_the_disk(
    engine: Engine,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
    beginning: str,
    said: str,
    name: str,
    file_name: str,
) -> None:
    caplog.set_level(logging.DEBUG, "discreet")
    pictures, folder = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("kept")
    picture = pictures / f"{file_name}.png"
    Image.new("RGB", (64, 64), "grey").save(picture)
    policies = [one.policy for one in engine.assistants.values()]
    journal = Journal(folder / "journal", names=names_of(policies, engine.adapters))
    store = ConsentStore(folder / "consent")
    visit = Visit(engine, consents=store, journal=journal)
    person, question = visit.person, f"{beginning}{said} my name is {name}"
    told = go_through(visit, question, picture)
    content = windows(question, name, file_name, person, *told)
    for _ in ("while it goes on", "when it is forgotten"):
        assert {path.name for path in folder.iterdir()} == {"journal", "consent"}
        assert found_in(folder, content) == set()
        assert not [window for window in content if window in caplog.text.encode()]
        visit.forget()
    store.close()
    assert found_in(folder, content) == set()
    assert {entry.event.kind for entry in journal.events()} >= {Kind.STARTED, Kind.FORGOTTEN}


def test_a_word_that_is_kept_would_be_found(tmp_path: Path) -> None:
    """As the name of an adapter, which the journal was opened with."""
    said = "coffeeatmidnight"
    journal = Journal(tmp_path / "journal", names=names_of([], [said]))
    journal.add(Event(kind=Kind.STARTED, adapter=said))
    assert found_in(tmp_path, windows(said))
