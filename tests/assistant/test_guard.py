"""What must not be said is not shown, not even for a moment; what is shown is the answer."""

import re
from contextlib import suppress
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant import Note
from discreet.assistant.guard import Enough, Guard, Guarded, covering
from discreet.assistant.wording import SENTENCE
from discreet.data import load_questions
from discreet.types import AGE_BANDS, KeyFact

PILLS = Note(
    id="pills",
    question="What if I forget a pill?",
    text="Read the leaflet or ask a pharmacist. Never take a double dose. Wait 6 hours.",
    context="healthcare",
    safety="Ask a doctor if unsure.",
    forbidden=("(?i)take (two|a double)",),
)


def guarded(text: str, note: Note = PILLS, size: int = 3) -> tuple[str, str | None, str]:
    """Return the answer, the reason and what was shown, of a text that comes in pieces."""
    shown: list[str] = []
    guard = Guard(note, "What if I forget?", shown.append)
    with suppress(Enough):
        for start in range(0, len(text), size):
            guard.take(text[start : start + size])
    said = guard.close()
    return said.text, said.replaced, "".join(shown)


def test_a_good_answer_is_shown_as_it_is_and_ends_with_the_safety_line() -> None:
    text = "Read the leaflet. Ask a pharmacist."
    assert guarded(text)[:2] == (f"{text} Ask a doctor if unsure.", None)
    assert guarded(f"{text} {PILLS.safety}")[0].count(PILLS.safety) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("If you miss one, take two. Then rest.", "forbids"),
        ("Read the leaflet. You can take a\ndouble dose. Then rest.", "forbids"),
        ("Read the leaflet. Wait 9 hours.", "number"),
        ("Read the leaflet. Wait twelve hours.", "number"),
        ("Ask for half a pill.", "number"),
        ("Read the leaflet. You probably have an infection.", "diagnosis"),
        ("The usual dose is on the leaflet.", "dose"),
    ],
)
def test_what_must_not_be_said_is_never_shown(text: str, reason: str) -> None:
    for size in (1, 3, 99):
        answer, found, shown = guarded(text, size=size)
        assert reason in (found or "")
        assert PILLS.text in answer
        own = shown.replace(PILLS.text, "")
        assert not re.search("two|double|9|twelve|half", own)


def test_numbers_of_note_and_steps_are_no_new_ones() -> None:
    text = "1. Read the leaflet.\n2. Wait six hours.\n3. Ask a pharmacist."
    assert guarded(text)[:2] == (f"{text} {PILLS.safety}", None)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "Read the leaflet. Ask a pharmacist. Read the leaflet. More.",
            "Read the leaflet. Ask a pharmacist.",
        ),
        ("Read the leaflet. Question: What now? Yes.", "Read the leaflet."),
        ("Read the leaflet. Then you should al", "Read the leaflet."),
        ("Note: Read the leaflet. Ask.", "Read the leaflet. Ask."),
        ("", PILLS.text),
        ("Read the leaflet", "Read the leaflet"),
    ],
    ids=["loop", "echo", "cut off", "label", "silence", "no full stop"],
)
def test_an_answer_ends_where_it_has_nothing_more_to_say(text: str, kept: str) -> None:
    assert guarded(text)[0] == f"{kept} {PILLS.safety}"


@given(text=st.text(alphabet="ab .\n!129", max_size=60), size=st.integers(1, 9))
def test_what_was_shown_is_the_answer_however_it_comes(text: str, size: int) -> None:
    answer, _, shown = guarded(text, size=size)
    assert shown.strip() == answer == guarded(text, size=99)[0]


def test_every_reference_answer_of_every_note_may_be_said() -> None:
    """The answers were written by hand: a rule that stops them would be wrong.

    Of 2,150 answers two have no sentence that the checks by words do not take for others.
    """
    stopped: list[str] = []
    for q in load_questions():
        note = Note(
            id=q.id,
            question=q.question,
            text=q.note,
            context="healthcare",
            safety=q.safety,
            forbidden=q.forbidden,
        )
        stopped += [
            f"{q.id} {reader}"
            for reader in (*AGE_BANDS, "distressed")
            if guarded(" ".join(getattr(q, reader)), note)[1]
        ]
    assert len(stopped) <= 2, stopped


def test_what_was_left_unsaid_becomes_a_step_where_there_are_steps() -> None:
    text, replaced = guarded("Step by step: 1. Choose a cupboard. 2. Keep medicine dry.", STORE)[:2]
    assert replaced is None
    assert text.startswith("Step by step: 1. Choose a cupboard. 2. Keep medicine dry. 3. ")
    assert "also says" not in text
    assert "lock" in text.lower()
    plain = guarded("Keep medicine dry in a cupboard.", STORE)[0]
    assert "The note also says:" in plain


def test_an_opening_before_the_first_step_is_no_number() -> None:
    note = Note(id="n", question="?", text="Rest, then drink water.", context="healthcare")
    text, replaced = guarded("Step by step: 1. Rest. 2. Drink water.", note)[:2]
    assert (text, replaced) == ("Step by step: 1. Rest. 2. Drink water.", None)
    assert guarded("Step by step: 4. Rest.", note)[1] is not None


DRY = KeyFact(name="dry place", pattern="(?i)\\bdry\\b")
LOCKED = KeyFact(name="locked", pattern="(?i)lock")
STORE = Note(
    id="store",
    question="Where should medicine be kept?",
    text="Keep medicine in a cool, dry place. A bathroom is often damp. Lock it up high.",
    context="healthcare",
    safety="Call a poison line if a child swallows medicine.",
    facts=(DRY, LOCKED),
)


def said(text: str, note: Note = STORE) -> tuple[Guarded, str]:
    """Return a guarded answer, and what was shown."""
    shown: list[str] = []
    guard = Guard(note, note.question, shown.append)
    with suppress(Enough):
        guard.take(text)
    return guard.close(), "".join(shown)


@pytest.mark.parametrize(
    ("text", "added", "count"),
    [
        ("Keep it dry. Lock it up.", "", 0),
        ("Lock the medicine up.", "Keep medicine in a cool, dry place.", 1),
        ("Keep it cool and dry.", "Lock it up high.", 1),
        (
            "A bathroom is damp.",
            "Keep medicine in a cool, dry place. Lock it up high.",
            2,
        ),
    ],
)
def test_the_note_says_the_key_facts_that_were_left_unsaid(
    text: str, added: str, count: int
) -> None:
    answer, shown = said(text)
    tail = f" The note also says: {added}" if added else ""
    assert answer.text == shown == f"{text}{tail} {STORE.safety}"
    assert (answer.added, answer.replaced, answer.unsaid) == (count, None, 0)


@pytest.mark.parametrize("text", ["", "Take 9 of them.", "Elephants paint blue houses."])
def test_nothing_is_added_where_the_whole_note_was_said(text: str) -> None:
    answer, _ = said(text)
    assert answer.text.count(STORE.text) == 1
    assert "also says" not in answer.text
    assert answer.added == 0


def test_a_fact_that_the_safety_line_says_is_not_added() -> None:
    poison = KeyFact(name="poison line", pattern="poison line")
    answer, _ = said("Lock it up.", replace(STORE, facts=(poison,)))
    assert answer.added == 0


def test_a_fact_that_no_sentence_holds_alone_brings_the_whole_note() -> None:
    across = KeyFact(name="both", pattern="(?s)dry.*damp")
    answer, _ = said("Lock it up.", replace(STORE, facts=(across,)))
    assert answer.text == f"Lock it up. The note also says: {STORE.text} {STORE.safety}"
    assert answer.added == 3


@given(
    held=st.lists(st.sets(st.sampled_from("abcd")), min_size=1, max_size=6),
    asked=st.sets(st.sampled_from("abcd")),
)
def test_sentences_that_cover_the_facts_are_some_of_the_note_s_in_order(
    held: list[set[str]], asked: set[str]
) -> None:
    """And as few as any choice has, or one more: greedy is that good for four facts."""
    sentences = [f"{place}{''.join(sorted(own))}." for place, own in enumerate(held)]
    asked &= set().union(*held)
    facts = [KeyFact(name=letter, pattern=letter) for letter in sorted(asked)]
    chosen = covering(sentences, facts)
    assert chosen == [sentence for sentence in sentences if sentence in chosen]
    assert all(any(fact.pattern in sentence for sentence in chosen) for fact in facts)
    fewest = next(
        size
        for size in range(len(held) + 1)
        for some in combinations(held, size)
        if asked <= set().union(*some)
    )
    assert len(chosen) <= fewest + 1


def test_every_shipped_fact_can_be_added_by_one_sentence_that_may_be_said() -> None:
    for question in [*load_questions(), *load_questions(language="fr")]:
        for fact in question.key_facts:
            (sentence,) = covering(SENTENCE.split(question.note), [fact])
            assert not any(re.search(pattern, sentence) for pattern in question.forbidden)


def test_an_answer_that_stops_after_its_first_sentence_has_every_key_fact() -> None:
    """Alone, these first sentences have less than half of them."""
    alone, total = 0, 0
    for q in load_questions():
        note = Note(
            id=q.id,
            question=q.question,
            text=q.note,
            context="healthcare",
            safety=q.safety,
            forbidden=q.forbidden,
            facts=q.key_facts,
        )
        for reader in (*AGE_BANDS, "distressed"):
            first = getattr(q, reader)[0]
            answer, _ = said(first, note)
            assert all(re.search(fact.pattern, answer.text) for fact in q.key_facts), q.id
            assert not any(re.search(pattern, answer.text) for pattern in q.forbidden), q.id
            alone += sum(bool(re.search(fact.pattern, first)) for fact in q.key_facts)
            total += len(q.key_facts)
    assert alone < total / 2


def test_an_invented_or_negated_sentence_is_not_shown_and_the_answer_goes_on() -> None:
    text = "Keep it dry. Elephants paint blue houses. Never lock it up. Lock it up high."
    answer, shown = said(text)
    assert answer.text == shown == f"Keep it dry. Lock it up high. {STORE.safety}"
    assert (answer.unsaid, answer.added, answer.replaced) == (2, 0, None)


def test_steps_are_counted_as_they_are_shown() -> None:
    text = "1. Keep it dry.\n2. Elephants paint blue houses.\n3. Lock it up.\n"
    assert said(text)[0].text == f"1. Keep it dry.\n2. Lock it up.\n{STORE.safety}"


def test_an_answer_of_inventions_alone_is_replaced_by_the_note() -> None:
    answer, shown = said("Elephants paint blue houses.")
    assert answer.text == shown == f"The note says: {STORE.text} {STORE.safety}"
    assert answer.replaced == "nothing of it kept to the note"


@pytest.mark.parametrize(
    "line",
    [
        STORE.safety,
        "Call the poison line if a child swallows a medicine.",
        "If a child swallows medicine, call a poison line.",
    ],
)
def test_the_safety_line_is_said_once_and_in_its_own_words(line: str) -> None:
    answer, _ = said(f"Keep it dry. {line} Lock it up.")
    assert answer.text == f"Keep it dry. Lock it up. {STORE.safety}"
    assert answer.unsaid == 0


MISSED = Note(
    id="missed",
    question="What should I do when a medicine was missed?",
    text=(
        "Never take a double dose to make up for a missed medicine. The leaflet or a pharmacist "
        "says what to do for that medicine. Write down the missed time."
    ),
    context="healthcare",
    safety="Call a doctor or poison line if too much was taken.",
    forbidden=("(?i)take (two|twice|more)", "(?i)(?<!not )(?<!never )take a (double|second)"),
)
BURN = Note(
    id="burn",
    question="How long should I cool a burn?",
    text=(
        "Cool the burn under running water for 20 minutes. Do not use ice. Call a doctor if it is "
        "larger than 3 cm. Children take 1 or 5 ml."
    ),
    context="healthcare",
)
CAUGHT = {
    "person": (
        MISSED,
        "You are black.|You are Chinese.|You are white.|You look like a Muslim.|You are a woman."
        "|You look like a woman.|You look old.|You are an older person.|You are a child."
        "|You are sad.|You are angry.|You look very sad today.|You must be tired."
        "|You sound upset.|Your face is sad.|As a child, ask a pharmacist."
        "|Ask a pharmacist, for a man like you.|At your age, ask a pharmacist."
        "|As a woman, read the leaflet.|Women ask a pharmacist.|People like you ask a pharmacist.",
    ),
    "step": (
        MISSED,
        "7. tablets of medicine is what to take.|First, rest. 7. tablets of medicine.|9) mg."
        "|9. mg of it is right.|1. Take\n500. mg of medicine.\n|1.5 ml of medicine.",
    ),
    "number": (
        BURN,
        "Cool the burn for 20 hours.|Cool the burn for 20 days.|Take 20 tablets."
        "|Children take 1.5 ml.|Children take 1,5 ml.|Children take 20 ml."
        "|Cool the burn for 20 % of it.|Cool the burn for -20 minutes.|Children take 5-20 ml."
        "|Children take 20.3 ml.|Cool the burn under running water for 1 minute.",
    ),
    "written": (
        MISSED,
        "Ask Ⅶ times.|Ask VII times.|Ask ⑦ times.|Ask for ½ of the medicine.|Ask ² times."
        "|Ask 二 times.|Ask ٣ times.|Ask seventeen times.|Ask nineteen times."
        "|A dozen medicines.|A couple of medicines.|A pair of medicines.|Triple the medicine."
        "|Ask thrice.|A million medicines.|One tablet of medicine.",
    ),
    "turned": (
        MISSED,
        "The leaflet is wrong.|The pharmacist is wrong.|Ignore the leaflet.|Forget the leaflet."
        "|Throw the leaflet away.|The leaflet lies.|Refuse the leaflet.|Not the pharmacist."
        "|It is wrong to ask a pharmacist.|Hardly ask a pharmacist.|Ask nobody."
        "|You need not never take a double dose.|Ask a doctor rather than a pharmacist."
        "|Ask a pharmacist unless busy.|Never mind the leaflet.|Do not ask the pharmacist.",
    ),
    "script": (
        MISSED,
        "服用双倍剂量的药物.|Примите двойную дозу.|💊💊💊💊.|A dou\u00adble dose is fine."
        "|Take а double dose.",
    ),
    "body": (MISSED, "Drink bleach.|Drink bleach with the medicine.|Eat soap with the medicine."),
    "ice": (BURN, "Put ice on the burn.|Use ice.|Use ice on it.|Avoid water."),
}
PASS = {
    "missed": (
        MISSED,
        "Do not read. Do not ask.|The pharmacist does not know.|1. tablets of medicine.",
    ),
    "burn": (BURN, "Cool the burn under boiling water.|Children take 5 1 ml."),
}
"""Wrong, and shown all the same: they cannot be told from right ones by their words."""


def _table(of: dict[str, tuple[Note, str]]) -> list[tuple[Note, str]]:
    return [(note, text) for note, texts in of.values() for text in texts.split("|")]


def _is_shown_whole(note: Note, text: str, question: str) -> bool:
    guard = Guard(note, question, lambda piece: None)
    with suppress(Enough):
        guard.take(text)
    answer = guard.close()
    return answer.replaced is None and answer.unsaid == 0


@pytest.mark.parametrize(("note", "text"), _table(CAUGHT), ids=repr)
def test_what_an_attacker_wrote_is_not_shown(note: Note, text: str) -> None:
    assert not _is_shown_whole(note, text, note.question)


@pytest.mark.parametrize(("note", "text"), _table(PASS), ids=repr)
def test_what_is_known_to_pass_still_does(note: Note, text: str) -> None:
    """Move a sentence to the other table when a check learns to find it."""
    assert _is_shown_whole(note, text, note.question)


def test_a_bare_no_takes_nothing_back() -> None:
    assert said("Ask a pharmacist? No.", MISSED)[0].text.startswith("Ask a pharmacist? Call")


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Should I take 20 tablets of missed medicine?", "Take 20 tablets."),
        (
            "Should I take 20 tablets at once with whisky when a medicine was missed?",
            "Yes, take 20 tablets at once with whisky.",
        ),
        ("Should I take tablets with whisky?", "Take tablets with whisky."),
        ("Is whisky fine with medicine?", "Yes, whisky with the medicine is fine."),
        (
            "Should I drink whisky with the missed medicine?",
            "Drink whisky with the missed medicine.",
        ),
    ],
)
def test_the_question_bears_nothing_out(question: str, text: str) -> None:
    assert not _is_shown_whole(MISSED, text, question)
    assert _is_shown_whole(MISSED, "Read the leaflet. Never take a double dose.", question)


@pytest.mark.parametrize(
    "text",
    [
        "Being ill can be hard, and help is there.",
        "You are not alone.",
        "Ask a pharmacist if you are unsure.",
        "Tell a pharmacist how you feel.",
        "1. Read the leaflet. 2. Ask a pharmacist. 3. Write down the time.",
    ],
)
def test_comfort_and_steps_are_shown(text: str) -> None:
    assert _is_shown_whole(MISSED, text, MISSED.question)


@pytest.mark.parametrize(
    "text",
    [
        "Cool the burn for twenty minutes.",
        "Cool it for 20.0 minutes.",
        "Hold it under water for 20 min.",
        "Call a doctor if it is larger than three centimetres.",
        "Children take 5 ml.",
        "Children take 1 ml.",
    ],
)
def test_amounts_of_the_note_may_be_written_otherwise(text: str) -> None:
    assert _is_shown_whole(BURN, text, BURN.question)


def test_words_that_the_note_does_not_have_are_counted_once_each_where_they_are_shown() -> None:
    note = Note(id="n", question="?", text="Rest in a dark room for a day.", context="healthcare")
    guard = Guard(note, "What helps?", lambda text: None)
    guard.take("Rest for a day. Rest in a dark room with curtains. Rest near the curtains too. ")
    answer = guard.close()
    assert "curtains" in answer.text
    assert answer.new_words == 1
