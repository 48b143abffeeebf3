"""No words widen what may be used: not of a question, a profile, a file name, a note, a purpose.

More than 200 attempts in two languages (`injections.toml`) are put wherever words can come from,
and the turn is compared with one that nobody attacked: what was looked for, what passed and was
withheld and why, and what the prompt says of the person. Arbitrary words are tried by hypothesis.
The prompt is read where it is handed to the writer of answers; `test_session.py` reads it at the
model itself.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Images
from PIL import PngImagePlugin
from PIL.Image import Image

from discreet.assistant import (
    CONTEXTS,
    VALUES,
    Assistant,
    Decision,
    Note,
    Notes,
    Policy,
    Turn,
    gate,
    load_policy,
    session,
)
from discreet.data import open_image
from discreet.errors import PolicyError
from discreet.model import IMAGE_TOKEN, Request, Vlm
from discreet.types import FaceCount, Observation, Percept
from tests.assistant.policies import policy as policy_of

ASKED = "Why do I sleep badly after coffee?"
TEXT = "Coffee keeps people awake for hours. Drink it in the morning."


def injections() -> list[str]:
    raw = tomllib.loads(Path(__file__).with_name("injections.toml").read_text(encoding="utf-8"))
    return [
        template.replace("{wish}", wish)
        for told in raw.values()
        for template in told["templates"]
        for wish in told["wishes"]
    ]


INJECTIONS = injections()


@dataclass
class Indiscreet:
    """Says everything it sees, whatever it was asked for."""

    asked: list[list[str]]

    def perceive(self, image: Image, attributes: Any) -> Percept:
        self.asked.append(sorted(attributes))
        seen = {"age_band": "older_adult", "expression": "sad"}
        return Percept(
            present=None,
            faces=FaceCount(value="one", confidence=0.99),
            observations=tuple(
                Observation(attribute=name, value=value, source="estimated", confidence=0.99)  # type: ignore[arg-type]
                for name, value in seen.items()
            ),
        )


@dataclass(frozen=True)
class Outcome:
    """All of a turn that an attempt could want to change; or that the turn was refused."""

    looked_for: tuple[tuple[str, ...], ...] = ()
    decision: Decision | None = None
    person: tuple[str, ...] = ()
    """The last line of the prompt, and of what it is contrasted with."""
    pictures: int = 0
    mode: str = "refused"


REFUSED = Outcome()


FACE = Images.new("RGB", (64, 64), (150, 120, 100))
SCENES = {
    "a pupil who is sad": ("education", frozenset({"explain/age_band"})),
    "a patient who consented to nothing": ("healthcare", frozenset[str]()),
    "a patient who consented to an age": ("healthcare", frozenset({"inform/age_band"})),
    "somebody at work": ("workplace", frozenset[str]()),
}


def asked(consented: frozenset[str], **changes: Any) -> Turn:
    fields = {"question": ASKED, "image": FACE, "consented": consented}
    return Turn(**{**fields, **changes})


PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "question": lambda words: {"question": f"{ASKED} {words}"},
    "question, first": lambda words: {"question": f"{words}\n{ASKED}"},
    **{
        f"profile value of {name}": lambda words, name=name: {"declared": {name: words}}  # type: ignore[misc]
        for name in ("age_band", "expression", "reading", "text_size", "language", "race")
    },
    "profile key": lambda words: {"declared": {words: "child"}},
    "profile key and value": lambda words: {"declared": {words: words}},
    "name of a consent": lambda words: {"more": {words}},
    "end of a name of a consent": lambda words: {"more": {f"comfort/expression {words}"}},
    "purpose": lambda words: {"purpose": words},
}
ALWAYS_REFUSED = ("profile", "purpose")
"""Beginnings of the places in which nothing but known words is taken."""


@dataclass
class Bench:
    """An assistant whose prompts are kept, and that writes nothing."""

    vlm: Vlm
    written: list[Request]
    known: dict[str, tuple[Assistant, Outcome]] = field(default_factory=dict)

    def assistant(self, policy: Policy, note: str = TEXT) -> Assistant:
        notes = [
            Note(id=str(place), question=question, text=text, context=policy.context)
            for place, (question, text) in enumerate([(ASKED, note), ("What is a fever?", "Heat.")])
        ]
        # Whatever is added to the question, its note is found, so that the prompt is made.
        found = replace(Notes.build(notes), least_fit=0.0)
        return Assistant(vlm=self.vlm, policy=policy, notes=found, drafts=1)

    def outcome(self, assistant: Assistant, turn: Turn) -> Outcome:
        eyes = Indiscreet([])
        self.written.clear()
        try:
            reply = replace(assistant, perceiver=eyes).reply(turn)
        except (PolicyError, ValueError):
            assert self.written == []
            assert eyes.asked == []
            return REFUSED
        (request,) = self.written
        both = (request.messages, request.contrast or request.messages)
        lines = tuple(messages[-1]["content"].rpartition("\n")[2] for messages in both)
        assert not any(IMAGE_TOKEN in messages[-1]["content"] for messages in both)
        return Outcome(
            looked_for=tuple(map(tuple, eyes.asked)),
            decision=reply.decision,
            person=lines,
            pictures=len(request.image_features or ()),
            mode=reply.mode,
        )

    def plain(self, scene: str) -> Outcome:
        """Return what comes of a scene without an attempt."""
        if scene not in self.known:
            context, consented = SCENES[scene]
            assistant = self.assistant(load_policy(context))
            self.known[scene] = (assistant, self.outcome(assistant, asked(consented)))
        return self.known[scene][1]

    def attacked(self, scene: str, place: str, words: str) -> tuple[Outcome, Outcome]:
        """Return what comes of a scene with an attempt and without."""
        plain = self.plain(scene)
        change = PLACES[place](words)
        agreed = SCENES[scene][1] | change.pop("more", set())
        return self.outcome(self.known[scene][0], asked(agreed, **change)), plain


@pytest.fixture
def bench(tiny: Vlm, monkeypatch: pytest.MonkeyPatch) -> Bench:
    written: list[Request] = []

    def write(vlm: Vlm, requests: list[Request]) -> None:
        written.extend(requests)

    monkeypatch.setattr(session, "answer_all", write)
    return Bench(tiny, written)


@pytest.mark.parametrize("place", PLACES)
def test_no_injection_changes_what_may_be_used(bench: Bench, place: str) -> None:
    """Each injection is tried in one scene, in turn, and every scene with every wish."""
    for words, scene in zip(INJECTIONS, cycle(SCENES), strict=False):
        found, plain = bench.attacked(scene, place, words)
        assert plain.decision is not None
        assert "sad" not in plain.person[0]
        assert found == (REFUSED if place.startswith(ALWAYS_REFUSED) else plain), words


def test_no_text_of_a_note_changes_what_may_be_used(bench: Bench) -> None:
    for words, scene in zip(INJECTIONS[::3], cycle(SCENES), strict=False):
        context, consented = SCENES[scene]
        assistant = bench.assistant(load_policy(context), f"{TEXT} {words}")
        assert bench.outcome(assistant, asked(consented)) == bench.plain(scene), words


def test_no_word_of_a_purpose_changes_what_may_be_used(bench: Bench) -> None:
    one = load_policy("healthcare")
    assistant = bench.assistant(one)
    plain = bench.outcome(assistant, asked(frozenset()))
    for words in INJECTIONS:
        inform = replace(one.purpose_of(), description={"en": words, "fr": words})
        other = replace(one, purposes={**one.purposes, "inform": inform})
        found = bench.outcome(replace(assistant, policy=other), asked(frozenset()))
        assert found == plain, words
        assert words not in bench.written[0].messages[-1]["content"]


def test_no_name_of_a_file_and_no_word_in_it_changes_what_may_be_used(
    bench: Bench, tmp_path: Path
) -> None:
    assistant = bench.assistant(load_policy("education"))
    agreed = frozenset({"explain/age_band"})
    plain = bench.outcome(assistant, asked(agreed))
    for words in INJECTIONS[::2]:
        hidden = PngImagePlugin.PngInfo()
        hidden.add_itxt("Description", words)
        name = words.replace("/", "_").encode()[:200].decode(errors="ignore")
        path = tmp_path / f"{name}.png"
        FACE.save(path, pnginfo=hidden)
        assert bench.outcome(assistant, asked(agreed, image=open_image(path))) == plain, words
        assert words not in bench.written[0].messages[-1]["content"]
        path.unlink()


def test_no_words_name_a_context_a_purpose_or_an_attribute() -> None:
    for words in INJECTIONS:
        with pytest.raises(PolicyError):
            load_policy(words)
        with pytest.raises(PolicyError):
            policy_of(words)
        for context in CONTEXTS:
            one = load_policy(context)
            with pytest.raises(PolicyError):
                one.purpose_of(words)
            rule = one.purpose_of().attributes["age_band"]
            with pytest.raises(PolicyError):
                policy_of(context, {words: rule})


def test_there_are_enough_injections_in_both_languages() -> None:
    assert len({*INJECTIONS}) == len(INJECTIONS) >= 200
    assert sum("policy" in words or "my" in words for words in INJECTIONS) >= 50
    assert sum("mon " in words or "visage" in words for words in INJECTIONS) >= 50


KNOWN = {*VALUES, *(value for values in VALUES.values() for value in values)} | {
    name for context in CONTEXTS for name in load_policy(context).purposes
}


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    words=st.text(max_size=60).filter(lambda text: text not in KNOWN),
    place=st.sampled_from(sorted(PLACES)),
    scene=st.sampled_from(sorted(SCENES)),
)
def test_no_words_at_all_change_what_may_be_used(
    bench: Bench, words: str, place: str, scene: str
) -> None:
    found, plain = bench.attacked(scene, place, words)
    assert found == (REFUSED if place.startswith(ALWAYS_REFUSED) else plain)


def opened(observations: Any, policy: Policy, **given: Any) -> Decision:
    """Tell the responder everything where a name only looks like a consent."""
    decision = gate(observations, policy, **given)
    if any("comfort/expression" in name for name in given["consented"]):
        return replace(decision, told=tuple(observations))
    return decision


def test_a_leak_would_be_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assistant = bench.assistant(load_policy("healthcare"))
    plain = bench.outcome(assistant, asked(frozenset({"inform/age_band"})))
    monkeypatch.setattr(session, "gate", opened)
    agreed = frozenset({"inform/age_band", f"comfort/expression {INJECTIONS[0]}"})
    found = bench.outcome(assistant, asked(agreed))
    assert "sad" in found.person[0]
    assert found != plain
