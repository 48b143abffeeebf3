"""A visit: consent before estimates, a journal without words, one turn at a time."""

import gc
import shutil
import threading
import weakref
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import pytest
from PIL import Image

from discreet.assistant import Assistant, Note, Notes
from discreet.consent import protection_of
from discreet.errors import ArtifactCorrupt, NotLogged, PolicyError, Stopped
from discreet.journal import Event, Kind
from discreet.model import (
    Answer,
    LoraSpec,
    Request,
    Vlm,
    answer_all,
    attach_lora,
    load,
    load_adapter,
    save_adapter,
)
from discreet.service import Engine, Visit
from discreet.types import FaceCount, Observation, Percept
from tests.service.conftest import MARKERS, Kept

ASKED = f"What helps against {MARKERS[3]}?"
AGE = "inform/age_band"
Begin = Callable[..., Visit]


class Eyes:
    """Sees an older adult in every picture, and remembers that it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def perceive(self, image: Image.Image, attributes: Collection[str]) -> Percept:
        self.asked.append(sorted(attributes))
        seen = Observation(
            attribute="age_band", value="older_adult", source="estimated", confidence=0.95
        )
        observations = (seen,) if "age_band" in attributes else ()
        one = FaceCount(value="one", confidence=0.95)
        return Percept(present=None, faces=one, observations=observations)


@pytest.fixture
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture
def assistant(assistant: Assistant, eyes: Eyes) -> Assistant:
    return replace(assistant, perceiver=eyes)


def kinds(kept: Kept) -> list[Kind]:
    return [entry.event.kind for entry in kept.journal.events()]


def used(visit: Visit) -> list[tuple[str, str]]:
    decision = visit.exchanges[-1].reply.decision
    return [(seen.attribute, seen.source) for seen in decision.passed]


def test_nothing_is_read_from_a_picture_before_consent_and_after_withdrawal(
    visit: Begin, eyes: Eyes, faces: list[Image.Image]
) -> None:
    person = visit()
    person.ask(ASKED, faces[0]).result(30)
    assert (eyes.asked, used(person)) == ([], [])
    person.give([AGE])
    person.ask(ASKED, faces[0]).result(30)
    assert used(person) == [("age_band", "estimated")]
    seen = len(eyes.asked)
    person.withdraw([AGE])
    person.ask(ASKED, faces[0]).result(30)
    assert (len(eyes.asked), used(person)) == (seen, [])


def test_refusing_changes_no_answer(visit: Begin, faces: list[Image.Image]) -> None:
    one, other = visit(), visit()
    other.refuse([AGE])
    answers = [v.ask(ASKED, faces[0]).result(30).reply.text for v in (one, other)]
    assert answers[0] == answers[1]


def test_nothing_is_estimated_of_a_child_whoever_consents(
    visit: Begin, eyes: Eyes, faces: list[Image.Image]
) -> None:
    person = visit()
    person.give([AGE])
    person.declare("age_band", "child")
    person.ask(ASKED, faces[0]).result(30)
    assert eyes.asked == []
    assert person.consented == frozenset()
    assert person.notice is not None
    assert person.notice.guardian


def test_what_a_child_says_is_used_once_a_guardian_agrees(visit: Begin) -> None:
    person = visit()
    person.declare("age_band", "child")
    person.declare("reading", "plain")
    person.ask(ASKED).result(30)
    assert used(person) == [("age_band", "declared")]
    person.give(["guardian/declared"])
    person.ask(ASKED).result(30)
    assert used(person) == [("age_band", "declared"), ("reading", "declared")]


def test_of_a_minor_nothing_is_linked(visit: Begin, kept: Kept) -> None:
    person = visit()
    person.declare("age_band", "child")
    person.give(["guardian/declared"])
    person.ask(ASKED).result(30)
    events = kept.journal.events()
    assert [entry.event.kind for entry in events][:2] == [Kind.STARTED, Kind.CONSENT_GIVEN]
    assert not any(entry.pseudonym for entry in events)


def look_like_a_child(person: Visit) -> None:
    person._conversation.is_minor = True
    person.ask(ASKED).result(30)


@pytest.mark.parametrize(
    "grow_young",
    [
        lambda person: person.declare("age_band", "child"),
        lambda person: person.tell_age("youth"),
        lambda person: person.tell_age("child"),
        look_like_a_child,
    ],
)
def test_what_was_written_of_somebody_who_turns_out_to_be_a_minor_is_removed(
    visit: Begin, kept: Kept, grow_young: Callable[[Visit], None]
) -> None:
    person, adult = visit(), visit()
    for one in (person, adult):
        one.give([AGE])
    assert kept.journal.of(person.person)
    grow_young(person)
    assert kept.journal.of(person.person) == []
    assert kept.consents.history(person.person) == ()
    person.ask(ASKED).result(30)
    assert kept.journal.of(person.person) == []
    assert kept.consents.active(adult.person) == {AGE}
    assert kept.journal.of(adult.person)


def test_what_a_guardian_agreed_to_stays_when_the_child_comes_again(
    visit: Begin, kept: Kept
) -> None:
    person = visit()
    person.tell_age("child")
    person.give(["guardian/declared"])
    again = visit(person=person.person)
    again.declare("age_band", "child")
    assert again.consented == {"guardian/declared"}


def test_a_youth_is_asked_nothing(visit: Begin) -> None:
    person = visit()
    person.standing = "youth"
    assert person.notice is None
    with pytest.raises(ValueError, match="nothing is asked"):
        person.give([AGE])


def test_whoever_is_no_child_after_all_is_treated_as_they_say(visit: Begin) -> None:
    person = visit()
    person.declare("age_band", "child")
    person.tell_age("youth")
    assert person.protection == protection_of("youth")
    person.tell_age("adult")
    assert person.protection == protection_of("adult")


def test_the_journal_tells_what_happened_and_no_word(
    visit: Begin, kept: Kept, faces: list[Image.Image]
) -> None:
    person = visit()
    person.disclosed()
    person.give([AGE])
    person.ask(ASKED, faces[0]).result(30)
    person.withdraw([AGE])
    person.personalise(False)
    person.personalise(True)
    person.ask("I have chest pain").result(30)
    person.export()
    assert kinds(kept) == [
        Kind.STARTED,
        Kind.DISCLOSED,
        Kind.CONSENT_GIVEN,
        Kind.ANSWERED,
        Kind.CONSENT_WITHDRAWN,
        Kind.NOT_PERSONALISED,
        Kind.PERSONALISED,
        Kind.EMERGENCY,
        Kind.EXPORTED,
    ]
    answered = kept.journal.events()[3].event
    assert answered.used == (("age_band", "estimated"),)
    assert answered.policy_sha256 == person.policy.sha256
    written = b"".join(path.read_bytes() for path in kept.folder.rglob("*") if path.is_file())
    for word in (MARKERS[3], "chest", "older_adult", person.person):
        assert word.encode() not in written


def test_forgetting_leaves_nothing_of_a_visit(visit: Begin, kept: Kept) -> None:
    person = visit()
    before = person.person
    person.declare("age_band", "older_adult")
    person.give([AGE])
    person.ask(ASKED).result(30)
    person.forget()
    assert person.exchanges == ()
    assert kept.consents.history(before) == ()
    assert kept.journal.of(before) == []
    assert kept.journal.verify().is_sound
    person.ask(ASKED).result(30)
    assert used(person) == []


def test_a_question_ends_the_one_before(visit: Begin) -> None:
    person = visit()
    first = person.ask(ASKED)
    second = person.ask(f"What helps against {MARKERS[4]}?").result(30)
    assert first.done
    assert MARKERS[4] in second.reply.text


def test_danger_is_answered_while_others_wait(assistant: Assistant, kept: Kept) -> None:
    gate = threading.Event()
    with Engine(assistant, at_once=1, most_waiting=0) as engine:
        engine.submit(lambda show: gate.wait(20))
        person = Visit(engine, consents=kept.consents, journal=kept.journal)
        reply = person.ask("I can not breathe").result(10).reply
        gate.set()
    assert "emergency" in reply.text


def test_danger_is_answered_where_nothing_can_be_kept(visit: Begin, kept: Kept) -> None:
    (kept.folder / "journal").write_bytes(b"")  # no folder can be made here
    mine = visit()
    mine.declare("age_band", "child")  # of whom a guardian's consent is looked for
    kept.consents.close()
    assert "emergency" in mine.ask("I have chest pain").result(30).reply.text
    with pytest.raises(ArtifactCorrupt):
        mine.ask("What helps?").result(30)


def test_stopping_is_written_down_and_the_place_is_free(visit: Begin, kept: Kept) -> None:
    person = visit()
    ticket = person.ask(ASKED)
    person.stop()
    assert list(ticket.pieces()) is not None
    assert person.ask(ASKED).result(30)
    assert kinds(kept)[-1] == Kind.ANSWERED


def test_an_unknown_purpose_language_or_adapter_is_refused(visit: Begin) -> None:
    with pytest.raises(PolicyError, match="Expected a purpose"):
        visit(purpose="advertise")
    with pytest.raises(ValueError, match="Expected a language"):
        visit(language="fr")
    with pytest.raises(ValueError, match="Expected an adapter"):
        visit().ask(ASKED, adapter="other")


def test_a_visitor_chooses_who_answers(
    assistant: Assistant, kept: Kept, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, spec = tmp_path_factory.mktemp("adapter"), LoraSpec(r=4, layers=1)
    save_adapter(attach_lora(load("tiny"), spec), spec, folder)
    vlm = load_adapter(load("tiny"), folder, name="one")
    with Engine(replace(assistant, vlm=vlm)) as engine:
        person = Visit(engine, consents=kept.consents, journal=kept.journal)
        assert engine.adapters == ("base", "one")
        person.ask(ASKED).result(30)
        person.ask(ASKED, adapter="base").result(30)
        person.retry().result(30)
        person.retry(adapter="one").result(30)
        person.edit(0, ASKED, adapter="base").result(30)
    answered = [e.event.adapter for e in kept.journal.events() if e.event.kind == Kind.ANSWERED]
    assert answered == ["one", "base", "base", "one", "base"]


def no_space(event: Event) -> None:
    raise OSError(28, "No space left on device")


def damage(kept: Kept) -> None:
    """Cut the last line of the log short."""
    (path,) = (kept.folder / "journal").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-20])


def test_an_answer_that_cannot_be_written_down_is_not_given(
    visit: Begin, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    person = visit()
    person.disclosed()
    damage(kept)
    ticket = person.ask(ASKED)
    with pytest.raises(NotLogged, match="Expected an event log") as refused:
        ticket.result(30)
    assert (ticket.shown, person.exchanges) == ((), ())
    assert MARKERS[3] not in f"{refused.value}{caplog.text}"


def test_no_word_of_an_answer_is_shown_where_the_disk_is_full(
    visit: Begin, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = visit()
    person.disclosed()
    full = shutil.disk_usage("/")._replace(free=4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    ticket = person.ask(ASKED)
    with pytest.raises(NotLogged):
        ticket.result(30)
    assert ticket.shown == ()


def test_an_answer_whose_line_fails_at_its_end_is_refused(visit: Begin, kept: Kept) -> None:
    """The log was whole when the turn began, and a full disk or a stranger came between."""
    person = visit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept.journal, "add", no_space)
        with pytest.raises(NotLogged):
            person.ask(ASKED).result(30)
    assert person.exchanges == ()
    assert person.ask(ASKED).result(30).question == ASKED


@pytest.mark.parametrize("again", ["retry", "edit"])
def test_an_answer_that_fails_at_its_end_leaves_the_one_before(
    visit: Begin, kept: Kept, again: str
) -> None:
    person = visit()
    first = person.ask(ASKED).result(30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept.journal, "add", no_space)
        ticket = person.retry() if again == "retry" else person.edit(0, ASKED)
        with pytest.raises(NotLogged, match="is kept without it"):
            ticket.result(30)
    assert person.exchanges == (first,)


@pytest.mark.parametrize("begins_before", [True, False])
def test_danger_is_answered_also_where_nothing_can_be_written_down_or_looked_up(
    visit: Begin, kept: Kept, begins_before: bool, caplog: pytest.LogCaptureFixture
) -> None:
    person = visit()
    person.disclosed()
    damage(kept)
    kept.consents.close()
    person = person if begins_before else visit()
    if begins_before:
        person.declare("age_band", "child")
    reply = person.ask("I have chest pain").result(30).reply
    assert "emergency" in reply.text
    assert len(person.exchanges) == 1
    assert "An event could not be written down: ArtifactCorrupt." in caplog.text
    assert "chest" not in caplog.text


def test_what_somebody_decides_holds_also_where_it_cannot_be_written_down(
    visit: Begin, kept: Kept
) -> None:
    person = visit()
    person.give([AGE])
    damage(kept)
    person.withdraw([AGE])
    assert person.consented == frozenset()
    assert person.export()["consent"]
    person.declare("age_band", "older_adult")
    assert person.forget()["conversation"] == 1


def test_a_picture_is_let_go_before_anything_is_written(
    assistant: Assistant, kept: Kept, faces: list[Image.Image]
) -> None:
    """Also the caller's own, while the turn waits for the model."""
    looked, gate = threading.Event(), threading.Event()

    def waits(vlm: Vlm, requests: Sequence[Request]) -> list[Answer]:
        looked.set()
        gate.wait(20)
        return answer_all(vlm, requests)

    with Engine(assistant, at_once=1) as engine:
        person = Visit(engine, consents=kept.consents, journal=kept.journal)
        patched = {lang: replace(a, write=waits) for lang, a in engine.assistants.items()}
        engine.assistants = patched
        picture = faces[0].copy()
        left = weakref.ref(picture)
        ticket = person.ask(ASKED, picture)
        del picture
        assert looked.wait(20)
        gc.collect()
        assert left() is None
        gate.set()
        assert ticket.result(30)


def test_who_said_to_be_a_child_is_protected_until_another_age_is_said(
    visit: Begin, kept: Kept
) -> None:
    person = visit()
    person.declare("age_band", "child")
    person.declare("age_band", None)
    assert (person.protection.estimates, person.protection.guardian) == (False, True)
    person.forget()
    forgotten = kept.journal.events()[-1]
    assert (forgotten.event.kind, forgotten.pseudonym) == (Kind.FORGOTTEN, None)
    person.declare("age_band", "child")
    person.declare("age_band", "older_adult")
    assert person.protection.estimates


def test_danger_is_heard_again_and_in_the_place_of_a_turn_that_is_not_there(
    assistant: Assistant, kept: Kept
) -> None:
    gate = threading.Event()
    with Engine(assistant, at_once=1, most_waiting=0) as engine:
        person = Visit(engine, consents=kept.consents, journal=kept.journal)
        person.ask("I can not breathe").result(10)
        engine.submit(lambda show: gate.wait(20))
        assert "emergency" in person.retry().result(10).reply.text
        assert "emergency" in person.edit(7, "I have chest pain").result(10).reply.text
        gate.set()
    assert kinds(kept)[1:] == [Kind.EMERGENCY] * 3


@pytest.mark.parametrize("after", ["stop", "another question"])
def test_nothing_takes_an_answer_to_danger_away(
    assistant: Assistant, kept: Kept, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """Its text is shown at once; the note for it is looked for after that, and may take time."""
    searching, gate = threading.Event(), threading.Event()
    find = Notes.find

    def slow(notes: Notes, question: str, context: str) -> Note | None:
        searching.set()
        gate.wait(20)
        return find(notes, question, context)

    with Engine(assistant, at_once=1) as engine:
        person = Visit(engine, consents=kept.consents, journal=kept.journal)
        monkeypatch.setattr(Notes, "find", slow)
        urgent = person.ask("I have chest pain")
        assert searching.wait(20)
        threading.Timer(0.3, gate.set).start()
        if after == "stop":
            person.stop()
        else:
            person.ask(ASKED).result(30)
        assert "emergency" in urgent.result(30).reply.text
    assert person.exchanges[0].question == "I have chest pain"


def test_what_was_seen_is_dropped_once_consent_is_taken_back(
    assistant: Assistant, kept: Kept, faces: list[Image.Image]
) -> None:
    with Engine(replace(assistant, perceiver=Eyes())) as engine:
        person = Visit(engine, consents=kept.consents, journal=kept.journal)
        person.give([AGE])
        seen = person.ask(ASKED, faces[0]).result(30)
        assert seen.reply.decision.passed
        person.withdraw([AGE])
        person.give([AGE])
        again = person.retry().result(30)
    assert again.reply.decision.passed == ()
    assert again.reply.left_out == "what was seen was for one answer"


def test_a_turn_that_goes_on_leaves_nothing_after_all_was_forgotten(
    assistant: Assistant, kept: Kept, faces: list[Image.Image]
) -> None:
    looking, gate = threading.Event(), threading.Event()

    class Slow(Eyes):
        def perceive(self, image: Image.Image, attributes: Collection[str]) -> Percept:
            looking.set()
            gate.wait(20)
            return super().perceive(image, attributes)

    with Engine(replace(assistant, perceiver=Slow()), at_once=1) as engine:
        person = Visit(engine, consents=kept.consents, journal=kept.journal)
        before = person.person
        person.give([AGE])
        ticket = person.ask(ASKED, faces[0])
        assert looking.wait(20)
        threading.Timer(0.2, gate.set).start()
        person.forget()
        with pytest.raises(Stopped):
            ticket.result(30)
    assert person.exchanges == ()
    assert kept.journal.of(before) == []
    assert kinds(kept)[-2:] == [Kind.STOPPED, Kind.FORGOTTEN]


def test_a_turn_that_outlasts_forgetting_makes_no_link_again(
    assistant: Assistant, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def waits(vlm: Vlm, requests: Sequence[Request]) -> list[Answer]:
        begun.set()
        gate.wait(20)
        return answer_all(vlm, requests)

    monkeypatch.setattr("discreet.service.visit.STOP_SECONDS", 0.1)
    with Engine(assistant, at_once=1) as engine:
        person = Visit(engine, consents=kept.consents, journal=kept.journal)
        engine.assistants = {lang: replace(a, write=waits) for lang, a in engine.assistants.items()}
        before, ticket = person.person, person.ask(ASKED)
        assert begun.wait(20)
        assert person.forget()["journal"] == 1
        gate.set()
        with pytest.raises(Stopped):
            ticket.result(30)
    assert kinds(kept)[-2:] == [Kind.FORGOTTEN, Kind.STOPPED]
    assert kept.journal.of(before) == []


def test_an_id_that_could_not_be_erased_is_kept_for_another_try(visit: Begin, kept: Kept) -> None:
    person = visit()
    before = person.person
    person.give([AGE])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept.journal, "forget", no_space)
        with pytest.raises(OSError, match="No space"):
            person.forget()
    assert person.person == before
    assert person.forget()["consent"] == 1


def test_what_a_guardian_agreed_to_is_nothing_to_an_adult(visit: Begin, kept: Kept) -> None:
    person = visit()
    person.tell_age("child")
    child = person.person
    person.give(["guardian/declared"])
    person.tell_age("adult")
    assert person.consented == frozenset()
    assert kept.consents.history(child) == ()
    person.give([AGE])
    assert person.consented == {AGE}
    person.refuse([AGE])
    assert person.consented == frozenset()


def test_an_id_for_which_a_guardian_answered_is_a_childs(visit: Begin, kept: Kept) -> None:
    person = visit()
    person.tell_age("child")
    person.give(["guardian/declared"])
    again = visit(person=person.person)
    assert again.standing == "child"
    again.withdraw(["guardian/declared"])
    last = visit(person=person.person)
    last.export()
    assert not last.protection.keeps
    assert not any(entry.pseudonym for entry in kept.journal.events())
    assert not list((kept.folder / "journal").glob("links/*/*"))


def test_what_a_child_says_while_it_waits_is_held_back_too(
    assistant: Assistant, kept: Kept
) -> None:
    gate = threading.Event()
    with Engine(assistant, at_once=1) as engine:
        engine.submit(lambda show: gate.wait(20))
        person = Visit(engine, consents=kept.consents, journal=kept.journal)
        person.declare("age_band", "child")
        ticket = person.ask(ASKED)
        person.declare("reading", "plain")
        gate.set()
        ticket.result(30)
    assert used(person) == [("age_band", "declared")]
    told = person.export()["provided"]
    assert told["declared"] == {"age_band": "child"}
    assert told["held_back"] == {"reading": "plain"}


def test_an_export_says_how_old_somebody_said_to_be(visit: Begin) -> None:
    person = visit()
    person.tell_age("youth")
    told = person.export()["provided"]
    assert (told["standing"], told["minor"], told["held_back"]) == ("youth", True, {})
