"""A person's session: what is kept of them and for how long, and that the way out is open.

The model is a real `tiny`; a hook on it records every forward pass.
"""

import gc
import json
import threading
import weakref
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from PIL import Image as PillowImage
from PIL.Image import Exif, Image

from discreet.assistant import (
    Assistant,
    Conversation,
    Note,
    Notes,
    Part,
    Reason,
    load_policy,
)
from discreet.assistant.sight import NOT_FOR_DANGER, NOT_FOR_REFUSAL, NOT_PERSONAL
from discreet.assistant.texts import TEXTS
from discreet.errors import NotLogged, PolicyError, Stopped
from discreet.model import Answer, Enough, Request, Vlm, answer_all, load
from discreet.types import FaceCount, Mode, Observation, Percept

NOTE = Note(
    id="coffee",
    question="Why do I sleep badly after coffee?",
    text="Coffee keeps people awake for hours. Drink it in the morning.",
    context="healthcare",
)
ASKED = NOTE.question
AGE = frozenset({"inform/age_band"})
NOTHING: frozenset[str] = frozenset()


@dataclass
class Eyes:
    """Sees an age in every picture; remembers whether the picture lives on."""

    sees: str = "older_adult"
    looks: int = 0
    pictures: list["weakref.ref[Image]"] = field(default_factory=list)
    infos: list[dict[Any, Any]] = field(default_factory=list)

    def perceive(self, image: Image, attributes: Collection[str]) -> Percept:
        self.looks += 1
        self.pictures.append(weakref.ref(image))
        self.infos.append({**image.info, **dict(image.getexif())})
        seen = Observation(
            attribute="age_band", value=self.sees, source="estimated", confidence=0.9
        )
        return Percept(
            present=None,
            faces=FaceCount(value="one", confidence=0.9),
            observations=(seen,) if "age_band" in attributes else (),
        )


@dataclass
class Pen:
    """Writes as `answer_all` would, a fixed text, and remembers what it was asked."""

    text: str = "Coffee keeps you awake. "
    asked: list[Request] = field(default_factory=list)

    def __call__(self, vlm: Vlm, requests: Any) -> list[Answer]:
        self.asked += requests
        for request in requests:
            with suppress(Enough):
                request.on_text(self.text)
        return [Answer(text=self.text, tokens=5, ended="end") for _ in requests]

    @property
    def prompts(self) -> list[str]:
        return [request.messages[1]["content"] for request in self.asked]


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pen() -> Pen:
    return Pen()


@pytest.fixture
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture(scope="module")
def one_tiny() -> Vlm:
    return load("tiny")


@pytest.fixture
def assistant(one_tiny: Vlm, pen: Pen, eyes: Eyes) -> Assistant:
    return Assistant(
        vlm=one_tiny,
        policy=load_policy("healthcare"),
        notes=replace(Notes.build([NOTE]), least_fit=0.0),
        perceiver=eyes,
        drafts=1,
        write=pen,
    )


@pytest.fixture
def consents() -> set[str]:
    return set(AGE)


@pytest.fixture
def talk(assistant: Assistant, consents: set[str]) -> Conversation:
    return Conversation(assistant, language="en", consents=lambda: frozenset(consents))


def face() -> Image:
    image = PillowImage.new("RGB", (64, 64), "pink")
    exif = Exif()
    exif[0x013B] = "Ada"
    exif[0x0112] = 6  # turned by 90 degrees
    image.info = {"exif": exif.tobytes(), "comment": b"Ada's kitchen"}
    return image


def estimated(talk: Conversation, turn: int = -1) -> list[str | None]:
    return [o.value for o in talk.exchanges[turn].why.observed if o.source == "estimated"]


def test_the_picture_is_gone_before_a_word_is_written(
    assistant: Assistant, eyes: Eyes, pen: Pen
) -> None:
    alive: list[bool] = []

    def write(vlm: Vlm, requests: Any) -> list[Answer]:
        gc.collect()
        alive.append(eyes.pictures[0]() is not None)
        return pen(vlm, requests)

    talk = Conversation(replace(assistant, write=write), language="en", consents=lambda: AGE)
    done = talk.ask(ASKED, face())
    assert alive == [False]
    assert done.why.observed[0].value == "older_adult"
    assert eyes.infos == [{}], "neither EXIF nor any other metadata is shown to anybody"


def test_a_picture_that_the_caller_holds_is_the_callers_own(talk: Conversation, eyes: Eyes) -> None:
    mine = face()
    talk.ask(ASKED, mine)
    assert (mine.info["comment"], eyes.pictures[0]()) == (b"Ada's kitchen", None)


def test_nothing_is_written_to_disk(
    talk: Conversation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    talk.ask(ASKED, face())
    talk.export()
    assert list(tmp_path.rglob("*")) == []


def test_an_estimate_lives_for_its_turn_alone(talk: Conversation, pen: Pen) -> None:
    talk.ask(ASKED, face())
    assert estimated(talk) == ["older_adult"]
    assert talk.exchanges[0].reply.decision.passed[0].value == "older_adult"
    talk.ask(ASKED)
    assert estimated(talk, 0) == [None]
    assert talk.exchanges[0].reply.decision.passed == ()
    assert talk.exchanges[0].why.person is None, "its words tell the value"
    assert "numbered steps" in pen.prompts[0]
    assert "somebody, in plain sentences" in pen.prompts[1]
    assert "older_adult" not in json.dumps(talk.export())


def test_a_turn_is_tried_again_by_what_was_seen_while_that_may_be_used(
    talk: Conversation, pen: Pen, eyes: Eyes, consents: set[str]
) -> None:
    talk.ask(ASKED, face())
    talk.retry()
    consents.clear()
    talk.retry()
    assert eyes.looks == 1
    assert ["numbered steps" in prompt for prompt in pen.prompts] == [True, True, False]
    assert len(talk.exchanges) == 1
    withheld = talk.exchanges[0].why.observed[0]
    assert (withheld.value, withheld.reason) == (None, Reason.NO_CONSENT)


@pytest.mark.parametrize("way", ["rejected", "off", "withdrawn", "declared"])
def test_nobody_looks_for_what_may_not_be_used(
    talk: Conversation, eyes: Eyes, consents: set[str], way: str
) -> None:
    if way == "rejected":
        talk.reject("age_band")
    elif way == "off":
        talk.personalise(False)
    elif way == "withdrawn":
        consents.clear()
    else:
        talk.correct("age_band", "young_adult")
    talk.ask(ASKED, face())
    assert eyes.looks == 0


def test_a_correction_replaces_what_was_seen_and_a_rejection_takes_it_away(
    talk: Conversation, pen: Pen
) -> None:
    talk.ask(ASKED, face())
    talk.correct("age_band", "child")
    talk.retry()
    first, second = talk.exchanges[0].why.observed
    assert (first.value, first.source, second.reason) == ("child", "declared", Reason.REPLACED)
    talk.reject("age_band")
    talk.retry()
    assert talk.exchanges[0].why.observed == ()
    assert ["child" in p for p in pen.prompts] == [False, True, False]
    assert pen.prompts[2].endswith("Answer for somebody, in plain sentences.")


def test_personalisation_off_is_the_prompt_of_nobody_known_and_the_same_service(
    assistant: Assistant, talk: Conversation, pen: Pen
) -> None:
    talk.declare("age_band", "older_adult")
    talk.declare("reading", "plain")
    talk.declare("text_size", "large")
    talk.personalise(False)
    done = talk.ask(ASKED, face())
    anybody = Conversation(assistant, language="en", consents=lambda: NOTHING).ask(ASKED)
    assert pen.asked[0] == replace(pen.asked[1], on_text=pen.asked[0].on_text)
    assert done.reply == replace(
        anybody.reply,
        seconds=done.reply.seconds,
        decision=done.reply.decision,
        left_out=NOT_PERSONAL,
    )
    assert [o.attribute for o in done.why.observed] == ["text_size"], "the page keeps its letters"
    assert done.why.in_words("en").startswith("Personalisation is off")
    urgent = talk.ask("I have chest pain")
    assert urgent.reply.text.startswith(TEXTS["en"].emergency)


@pytest.mark.parametrize("way", ["off and on", "taken back", "run out"])
def test_a_declared_child_stays_protected_until_another_age_is_declared(
    assistant: Assistant, eyes: Eyes, way: str
) -> None:
    clock = Clock()
    talk = Conversation(assistant, language="en", consents=lambda: AGE, clock=clock)
    talk.declare("age_band", "child")
    if way == "off and on":
        talk.personalise(False)
        talk.ask(ASKED, face())
        talk.personalise(True)
    elif way == "taken back":
        talk.declare("age_band", None)
    else:
        clock.now = 1e6
    talk.ask(ASKED, face())
    assert eyes.looks == 0
    assert talk.export()["provided"]["minor"]
    talk.declare("age_band", "young_adult")
    talk.declare("age_band", None)
    talk.ask(ASKED, face())
    assert eyes.looks == 1


def test_what_was_declared_runs_out(assistant: Assistant, pen: Pen) -> None:
    clock = Clock()
    talk = Conversation(assistant, language="en", consents=lambda: NOTHING, clock=clock)
    seconds = assistant.policy.purpose_of(None).attributes["age_band"].ttl_seconds
    assert seconds > 0
    talk.declare("age_band", "child")
    clock.now = seconds
    talk.ask(ASKED)
    clock.now = seconds + 1.0
    assert talk.declared == {}
    talk.ask(ASKED)
    assert ["a child" in prompt for prompt in pen.prompts] == [True, False]


def test_what_may_be_kept_for_one_turn_is_kept_for_one_turn(talk: Conversation) -> None:
    """An expression has no rule for `inform`: the person sees that it is withheld, once."""
    talk.declare("expression", "sad")
    talk.ask(ASKED)
    talk.retry()
    assert talk.exchanges[0].why.observed[0].reason == Reason.NOT_ALLOWED
    talk.ask(ASKED)
    assert talk.exchanges[1].why.observed == ()
    assert talk.declared == {}


def test_stop_ends_the_turn_at_its_next_word_and_keeps_nothing_of_it(
    assistant: Assistant, one_tiny: Vlm
) -> None:
    shown: list[str] = []
    plain = replace(assistant, write=answer_all, drafts=4)
    talk = Conversation(plain, language="en", consents=lambda: NOTHING)

    def write(vlm: Vlm, requests: Any) -> list[Answer]:
        talk.stop()
        return answer_all(vlm, requests)

    talk.assistant = replace(plain, write=write)
    with pytest.raises(Stopped, match="ask again"):
        talk.ask(ASKED, on_text=shown.append)
    assert (talk.exchanges, shown) == ((), [])
    talk.assistant = replace(plain, drafts=1)
    with pytest.raises(ValueError, match="Ask one first"):
        talk.retry()
    assert talk.ask(ASKED).question == ASKED


def test_a_question_that_was_stopped_is_not_the_last_one(
    talk: Conversation, pen: Pen, assistant: Assistant
) -> None:
    """Asked, or asked in the place of another; and what was estimated in its turn is gone."""
    talk.ask(ASKED, face())

    def write(vlm: Vlm, requests: Any) -> list[Answer]:
        talk.stop()
        return pen(vlm, requests)

    talk.assistant = replace(assistant, write=write)
    for stopped in (
        lambda: talk.ask("Is tea bad?", face()),
        lambda: talk.edit(0, "Is tea bad?", face()),
    ):
        with pytest.raises(Stopped):
            stopped()
    talk.assistant = assistant
    assert talk.retry().question == ASKED
    assert [done.question for done in talk.exchanges] == [ASKED]
    assert talk.export()["inferred"] == []


@pytest.mark.parametrize("way", ["stop", "clear", "forget"])
@pytest.mark.parametrize("edits", [False, True])
def test_stop_is_heard_while_a_picture_is_looked_at(
    talk: Conversation, eyes: Eyes, pen: Pen, way: str, edits: bool
) -> None:
    if edits:
        talk.ask(ASKED)

    def perceive(image: Image, attributes: Collection[str]) -> Percept:
        getattr(talk, way)()
        return eyes.perceive(image, attributes)

    talk.assistant = replace(talk.assistant, perceiver=SimpleNamespace(perceive=perceive))
    before = len(pen.asked)
    turn = partial(talk.edit, 0) if edits else talk.ask
    with pytest.raises(Stopped):
        turn(ASKED, face())
    assert len(pen.asked) == before
    assert len(talk.exchanges) == (edits and way == "stop")


def test_an_answer_that_somebody_refuses_to_keep_leaves_what_was_there(talk: Conversation) -> None:
    def refuse(done: object) -> None:
        raise NotLogged("no room")

    first = talk.ask(ASKED)
    for turn in (
        lambda: talk.ask("Is tea bad?", on_done=refuse),
        lambda: talk.retry(on_done=refuse),
        lambda: talk.edit(0, "Is tea bad?", on_done=refuse),
    ):
        with pytest.raises(NotLogged):
            turn()
    assert talk.exchanges == (first,)
    assert talk.retry().question == ASKED


def test_a_fixed_answer_that_was_stopped_is_not_kept_either(talk: Conversation) -> None:
    with pytest.raises(Stopped):
        talk.ask("How much ibuprofen can I take?", on_text=lambda piece: talk.stop())
    assert talk.exchanges == ()


def test_who_stops_one_turn_does_not_stop_the_next(talk: Conversation) -> None:
    talk.stop()
    assert talk.ask(ASKED).reply.text


def test_a_turn_that_ends_after_all_was_forgotten_is_not_kept(
    assistant: Assistant, pen: Pen
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def write(vlm: Vlm, requests: Any) -> list[Answer]:
        begun.set()
        go_on.wait(10)
        return pen(vlm, requests)

    talk = Conversation(replace(assistant, write=write), language="en", consents=lambda: NOTHING)
    raised: list[Exception] = []

    def ask() -> None:
        try:
            talk.ask(ASKED)
        except Stopped as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(10)
    talk.forget()
    go_on.set()
    thread.join(10)
    assert len(raised) == 1
    assert talk.exchanges == ()
    with pytest.raises(ValueError, match="Ask one first"):
        talk.retry()


def test_an_earlier_question_may_be_put_otherwise_and_what_followed_is_dropped(
    talk: Conversation, pen: Pen
) -> None:
    talk.ask(ASKED, face())
    talk.ask("Is coffee bad?")
    talk.edit(0, "May I drink coffee?")
    assert [done.question for done in talk.exchanges] == ["May I drink coffee?"]
    assert "somebody, in plain sentences" in pen.prompts[2], "that picture's turn is over"
    for index in (-1, 1):
        with pytest.raises(ValueError, match="turn from 0 to 0"):
            talk.edit(index, ASKED)


def test_a_changed_question_may_show_another_picture(talk: Conversation) -> None:
    talk.ask(ASKED, face())
    talk.ask(ASKED)
    done = talk.edit(0, ASKED, face())
    assert talk.exchanges == (done,)
    assert [seen.source for seen in done.why.observed if seen.passed] == ["estimated"]
    assert talk.edit(0, ASKED).why.observed == done.why.observed
    talk.ask(ASKED)
    assert talk.edit(0, ASKED).why.observed == ()


def test_export_holds_all_that_is_held_in_three_parts(talk: Conversation) -> None:
    talk.declare("reading", "plain")
    talk.reject("expression")
    talk.ask(ASKED, face())
    out = talk.export()
    assert list(out) == ["provided", "observed", "inferred"]
    assert out["provided"] == {
        "declared": {"reading": "plain"},
        "minor": False,
        "rejected": ["expression"],
        "personalisation": True,
        "questions": [ASKED],
    }
    assert out["observed"]["turns"][0]["answer"] == talk.exchanges[0].reply.text
    (estimate,) = out["inferred"]
    assert (estimate["turn"], estimate["attribute"], estimate["value"], estimate["used"]) == (
        0,
        "age_band",
        "older_adult",
        True,
    )
    assert json.loads(json.dumps(out)) == out


def test_clear_drops_turns_and_forget_drops_the_person(talk: Conversation) -> None:
    talk.declare("reading", "plain")
    talk.ask(ASKED, face())
    talk.clear()
    assert talk.exchanges == ()
    assert talk.declared == {"reading": "plain"}
    talk.ask(ASKED)
    assert talk.forget() == 2
    assert talk.forget() == 0
    empty = talk.export()
    assert empty["provided"] == {
        "declared": {},
        "minor": False,
        "rejected": [],
        "personalisation": True,
        "questions": [],
    }
    assert (empty["observed"]["turns"], empty["inferred"]) == ([], [])


def test_nothing_of_a_person_is_in_the_text_of_their_objects(talk: Conversation) -> None:
    done = talk.ask(ASKED, face())
    for thing in (
        done,
        done.why,
        done.why.observed[0],
        done.reply,
        talk,
        talk.hand_over(["answer"]),
    ):
        said = repr(thing)
        assert not [word for word in ("coffee", "Coffee", "older_adult") if word in said]


@pytest.mark.parametrize(
    ("asked", "kind"),
    [("How much ibuprofen can I take?", "dose"), ("Do I have diabetes?", "diagnosis")],
)
def test_doses_and_diagnoses_are_refused_by_a_fixed_text_and_nobody_looks(
    talk: Conversation, pen: Pen, eyes: Eyes, asked: str, kind: str
) -> None:
    pieces: list[str] = []
    done = talk.ask(asked, face(), on_text=pieces.append)
    assert "".join(pieces) == done.reply.text
    assert done.reply.text.startswith(getattr(TEXTS["en"], f"no_{kind}"))
    assert (done.reply.refused, done.why.refused) == (kind, kind)
    assert (pen.asked, eyes.looks, done.why.left_out) == ([], 0, NOT_FOR_REFUSAL)


def test_danger_to_life_is_answered_with_the_numbers_of_the_country(
    assistant: Assistant, pen: Pen, eyes: Eyes
) -> None:
    talk = Conversation(replace(assistant, country="BE"), language="en", consents=lambda: AGE)
    done = talk.ask("I have chest pain", face())
    assert "Call 112 now" in done.reply.text
    assert (pen.asked, eyes.looks, done.why.left_out) == ([], 0, NOT_FOR_DANGER)
    assert done.why.urgent
    assert done.why.observed == ()


@pytest.mark.parametrize(("context", "hears"), [("healthcare", True), ("education", False)])
def test_distress_is_heard_from_words_and_only_where_the_context_allows_it(
    assistant: Assistant, pen: Pen, context: str, hears: bool
) -> None:
    note = replace(NOTE, context=context)
    there = replace(
        assistant,
        policy=load_policy(context),
        notes=replace(Notes.build([note]), least_fit=0.0),
    )
    talk = Conversation(there, language="en", consents=lambda: NOTHING)
    pieces: list[str] = []
    done = talk.ask("I am so scared, is coffee bad?", on_text=pieces.append)
    calm = talk.ask("Is coffee bad?")
    assert "".join(pieces) == done.reply.text
    assert (done.supported, calm.supported) == (hears, False)
    assert done.reply.text.startswith(TEXTS["en"].support) == hears
    person = [prompt.splitlines()[-1] for prompt in pen.prompts]
    assert person[0] == person[1], "what somebody feels is not in the prompt"


def test_a_card_tells_what_the_person_chose_and_nothing_else(talk: Conversation) -> None:
    talk.declare("reading", "plain")
    done = talk.ask(ASKED, face())
    assert talk.hand_over().told == {}
    assert ASKED not in talk.hand_over().in_words()
    everything = talk.hand_over(get_args(Part))
    assert everything.told == {
        "question": ASKED,
        "answer": done.reply.text,
        "note": ASKED,
        "profile": "how you like to read: plain words",
    }
    assert "older" not in everything.in_words(), "estimates are never told"
    with pytest.raises(ValueError, match="Expected parts"):
        talk.hand_over(["picture"])  # type: ignore[list-item]


def test_unknown_purposes_and_attributes_are_refused(
    assistant: Assistant, talk: Conversation
) -> None:
    with pytest.raises(PolicyError):
        Conversation(assistant, language="en", consents=lambda: NOTHING, purpose="advertise")
    for refuse in (
        lambda: talk.declare("race", "x"),
        lambda: talk.declare("race", None),
        lambda: talk.declare("age_band", "old"),
        lambda: talk.correct("age_band", "old"),
        lambda: talk.reject("race"),
    ):
        with pytest.raises(ValueError, match="Expected"):
            refuse()


@pytest.mark.parametrize("asked", ["native", None])
def test_a_picture_for_the_responder_is_encoded_and_gone_and_consent_is_asked_each_time(
    assistant: Assistant, pen: Pen, eyes: Eyes, asked: Mode | None
) -> None:
    consents = {"comfort/picture"}
    talk = Conversation(
        assistant, language="en", consents=lambda: frozenset(consents), purpose="comfort"
    )
    talk.ask(ASKED, face(), mode=asked)
    talk.retry()
    consents.clear()
    talk.retry()
    assert [request.image_features is not None for request in pen.asked] == [True, False, False]
    assert eyes.pictures[0]() is None
    talk.personalise(False)
    talk.ask(ASKED, face(), mode="native")
    assert pen.asked[3].image_features is None
