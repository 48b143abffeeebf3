"""Perceive, gate, respond: one turn of the assistant.

The responder's prompt is built from what passed the gate and from nothing else. Pictures are used
for one turn and not kept; nothing is logged.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from PIL.Image import Image

from discreet.assistant.drafts import DRAFTS, best_of, falls_short, reader_told, redrafts
from discreet.assistant.emergency import is_emergency
from discreet.assistant.gate import Decision, declare, gate
from discreet.assistant.guard import Guard, Guarded
from discreet.assistant.notes import Note, Notes, say_no_note
from discreet.assistant.policy import PICTURE, Policy
from discreet.assistant.texts import TEXTS
from discreet.errors import PolicyError
from discreet.model import (
    GUIDANCE,
    IMAGE_TOKEN,
    Request,
    Vlm,
    answer_all,
    build_prompt,
    check_guidance,
    check_question,
    encode_images,
    fit_note,
    person_line,
)
from discreet.perception import Perceives
from discreet.readers import Reader
from discreet.types import Faces, Language, Mode, Observation, Percept

NEAR = 3
"""Notes that are named where none fits."""
RESPONDER_LANGUAGE: Language = "en"
"""What the base writes and the guard reads; a note in another language is said as it is."""
OTHER_LANGUAGE = "the responder does not write the note's language"
NOT_FOR_MINORS = "pictures of minors are not handed to the responder"
NOT_CONSENTED = "nobody consented to the responder seeing the picture"
NOT_FOR_DANGER = "danger to life is answered without it"
_SEEN: dict[Faces, str] = {
    "none": "no face is seen",
    "two": "two faces are seen",
    "three_or_more": "three or more faces are seen",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What a person asks, with what they show and declare."""

    question: str = field(repr=False)
    image: Image | None = field(default=None, repr=False)
    declared: dict[str, str] = field(default_factory=dict, repr=False)
    """For example `{"age_band": "child"}`; a declared value wins over an estimate."""
    purpose: str | None = None
    """Of the policy; None is its default one."""
    consented: frozenset[str] = frozenset()
    """What the person consented to, by names of `Policy.consentable`; nothing else is estimated."""
    minor: bool = False
    """Whether the person is known to be a minor; who declares to be a child is one, too."""

    def __post_init__(self) -> None:
        """Refuse consents that are no set: a part of a text is no name."""
        if not isinstance(self.consented, frozenset):
            raise TypeError("Expected consented as a frozenset of names, got something else.")

    @property
    def is_of_minor(self) -> bool:
        """Tell whether the person is a minor, by what was said."""
        return self.minor or self.declared.get("age_band") == "child"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The answer and why it is the way it is."""

    text: str = field(repr=False)
    mode: Mode
    note_id: str | None = field(repr=False)
    """The vetted note it rests on; None when there was none."""
    note_text: str | None = field(repr=False)
    """What the note says: the facts, whatever the responder made of them."""
    replaced: str | None
    """Why the note had to speak for the responder; None if it had not."""
    left_out: str | None
    """Why the picture was not used; None if it was, or if there was none to use."""
    decision: Decision = field(repr=False)
    seconds: float
    note_question: str | None = field(default=None, repr=False)
    """What the note is called: the question that it answers."""
    near: tuple[str, ...] = field(default=(), repr=False)
    """Where no note fits: what the nearest ones of the same context are called."""
    note_cut: int = 0
    """Sentences at the note's end that the responder was not shown: they did not fit."""
    added: int = 0
    """Sentences of the note that were added for key facts which the responder left unsaid."""
    unsaid: int = 0
    """Sentences of the responder that were not shown because the note does not bear them out."""
    drafts: int = 0
    """Answers that the responder wrote, of which this one was chosen; 0 where it was not asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assistant:
    """A responder behind a gate; `gated` mode by default."""

    vlm: Vlm
    policy: Policy
    notes: Notes
    perceiver: Perceives | None = None
    """None if pictures are never looked at."""
    guidance: float = GUIDANCE
    """How far an answer leans towards the person, 1 or more; 1 takes the responder as it is."""
    drafts: int = DRAFTS
    """Answers written where the first falls short, 1 or more; the best is shown. With 1 an answer
    is shown while it is written, else when it was chosen."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        check_guidance(self.guidance)
        if self.drafts < 1:
            raise ValueError(f"Expected one draft or more, got {self.drafts}.")

    def reply(
        self,
        turn: Turn,
        *,
        mode: Mode = "gated",
        max_new_tokens: int = 96,
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:
        """Return an answer; `on_text` receives it, each sentence checked before.

        A picture that does not surely show exactly one face is left out, whatever the mode: the
        answer is then that of gated mode without a picture, and the reply says so.

        Guarantee: words of danger to life are answered before anything of this can fail. Neither
        mode, picture nor declared values are looked at then, in no context.

        Raises:
            PolicyError: if the policy has no such purpose, or does not allow `native` for it.
            ValueError: if `native` is asked for without a picture, or a declared value is unknown.
            TooManyTokens: if the question is too long.
        """
        started = time.perf_counter()
        turn = replace(turn, question=turn.question.encode("utf-8", "replace").decode())
        show = on_text or (lambda piece: None)
        if is_emergency(turn.question):
            return self._reply_to_danger(turn, show, started)
        said = self._check(turn, mode)
        refused = self._why_refused(turn, mode)
        percept = None if refused else self._perceive(turn, mode)
        left_out = refused or why_left_out(percept)
        if left_out is not None:
            turn, mode = replace(turn, image=None), "gated"
        decision = self._decide(turn, said, percept)
        note_cut = drafts = 0
        note = self.notes.find(turn.question, self.policy.context)
        near: list[Note] = []
        if note is None:
            near = self.notes.near(turn.question, self.policy.context, NEAR)
            answer = _fixed(say_no_note(near, self.notes.language), show)
        else:
            if note.language == RESPONDER_LANGUAGE:
                request, note_cut = self._request(turn, note, decision, mode, max_new_tokens)
                reader = None if mode == "native" else reader_told(decision.told)
                answer, drafts = self._respond(note, turn.question, request, reader, show)
            else:
                answer = replace(Guard(note, turn.question, show).close(), replaced=OTHER_LANGUAGE)
        return Reply(
            text=answer.text,
            mode=mode,
            note_id=None if note is None else note.id,
            note_question=None if note is None else note.question,
            note_text=None if note is None else note.text,
            replaced=answer.replaced,
            left_out=left_out,
            decision=decision,
            seconds=time.perf_counter() - started,
            near=tuple(n.question for n in near),
            note_cut=note_cut,
            added=answer.added,
            unsaid=answer.unsaid,
            drafts=drafts,
        )

    def _reply_to_danger(self, turn: Turn, show: Callable[[str], None], started: float) -> Reply:
        """Show the fixed text, and only then what a note of this context says."""
        text = TEXTS[self.notes.language].emergency
        show(text)
        note = self.notes.find(turn.question, self.policy.context)
        if note is not None:
            show(f" {note.text}")
            text = f"{text} {note.text}"
        return Reply(
            text=text,
            mode="gated",
            note_id=None if note is None else note.id,
            note_question=None if note is None else note.question,
            note_text=None if note is None else note.text,
            replaced=None,
            left_out=None if turn.image is None else NOT_FOR_DANGER,
            decision=Decision(passed=(), withheld=()),
            seconds=time.perf_counter() - started,
        )

    def _check(self, turn: Turn, mode: Mode) -> list[Observation]:
        """Return what the person declares; refuse what may not be asked, before anybody looks."""
        said = [declare(name, value) for name, value in turn.declared.items()]
        self.policy.purpose_of(turn.purpose)
        check_question(self.vlm, turn.question)
        if mode == "native":
            self._check_native(turn)
        return said

    def _check_native(self, turn: Turn) -> None:
        if not self.policy.may_show_picture(turn.purpose):
            raise PolicyError(
                f"The policy for {self.policy.context} does not let the responder see pictures for "
                "this purpose. Use the gated mode."
            )
        if turn.image is None:
            raise ValueError("Expected a picture in native mode, got none. Add one, or use gated.")

    def _why_refused(self, turn: Turn, mode: Mode) -> str | None:
        """Return why the responder may not see this person's picture, or None."""
        if mode == "gated":
            return None
        if turn.is_of_minor:
            return NOT_FOR_MINORS
        purpose = self.policy.purpose_of(turn.purpose)
        return None if purpose.consent_to(PICTURE) in turn.consented else NOT_CONSENTED

    def _decide(self, turn: Turn, said: list[Observation], percept: Percept | None) -> Decision:
        """Return what of what is said and seen may be used."""
        return gate(
            [*said, *(() if percept is None else percept.observations)],
            self.policy,
            purpose=turn.purpose,
            consented=turn.consented,
            minor=turn.minor,
        )

    def _perceive(self, turn: Turn, mode: Mode) -> Percept | None:
        """Return what is seen, or None where nobody would use it.

        In native mode the responder sees the picture itself, and only the faces are counted.
        """
        wanted = [] if mode == "native" else self._may_estimate(turn)
        if turn.image is None or self.perceiver is None or not (wanted or mode == "native"):
            return None
        return self.perceiver.perceive(turn.image, wanted)

    def _may_estimate(self, turn: Turn) -> list[str]:
        """Return what is worth looking for: allowed, consented to and not declared; of no minor."""
        purpose = self.policy.purpose_of(turn.purpose)
        return [
            name
            for name in purpose.attributes
            if purpose.may_estimate(name)
            and purpose.consent_to(name) in turn.consented
            and not (name in turn.declared or turn.is_of_minor)
        ]

    def _respond(
        self,
        note: Note,
        question: str,
        request: Request,
        reader: Reader | None,
        show: Callable[[str], None],
    ) -> tuple[Guarded, int]:
        """Let the responder write, show the best answer, and return it and how many there were."""
        if self.drafts == 1:
            return self._drafts(note, question, [request], show)[0], 1
        answers = self._drafts(note, question, [request])
        if falls_short(answers[0], reader, note.language):
            answers += self._drafts(note, question, redrafts(request, self.drafts))
        best = best_of(answers, reader, note.language)
        show(best.text)
        return best, len(answers)

    def _drafts(
        self,
        note: Note,
        question: str,
        requests: list[Request],
        show: Callable[[str], None] = lambda piece: None,
    ) -> list[Guarded]:
        """Return an answer to each request, written in one pass, as a guard lets it through."""
        guards = [Guard(note, question, show) for _ in requests]
        heard = [
            replace(request, on_text=guard.take)
            for request, guard in zip(requests, guards, strict=True)
        ]
        answer_all(self.vlm, heard)
        return [guard.close() for guard in guards]

    def _request(
        self, turn: Turn, note: Note, decision: Decision, mode: Mode, max_new_tokens: int
    ) -> tuple[Request, int]:
        """Return what the responder is asked, and how many sentences of the note were cut."""
        person, features = person_line(decision.told), None
        if mode == "native" and turn.image is not None:
            person = f"{IMAGE_TOKEN} {person}" if decision.told else IMAGE_TOKEN
            features = encode_images(self.vlm, [turn.image])
        anybody = person_line([])
        fitted = fit_note(
            self.vlm,
            turn.question,
            note=note.text,
            persons=[person, anybody],
            max_new_tokens=max_new_tokens,
        )
        request = Request(
            messages=build_prompt(turn.question, note=fitted.text, person=person),
            image_features=features,
            contrast=None
            if person == anybody
            else build_prompt(turn.question, note=fitted.text, person=anybody),
            guidance=self.guidance,
            max_new_tokens=max_new_tokens,
        )
        return request, fitted.sentences_cut


def _fixed(text: str, show: Callable[[str], None]) -> Guarded:
    """Say a fixed text, and return it as an answer that nothing was changed in."""
    show(text)
    return Guarded(text=text, replaced=None, added=0, unsaid=0)


def why_left_out(percept: Percept | None) -> str | None:
    """Return why a picture may not be used for the person who asks, or None if it may."""
    if percept is None or percept.shows_one_face:
        return None
    if percept.faces is None:
        return "it is not sure that exactly one face is seen"
    return f"{_SEEN[percept.faces.value]}, and not exactly one"
