"""Perceive, gate, respond: one turn of the assistant.

The responder's prompt is built from what passed the gate and from nothing else. Pictures are used
for one turn and not kept; nothing is logged.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from discreet.assistant.drafts import DRAFTS, best_of, falls_short, reader_told, redrafts
from discreet.assistant.emergency import is_emergency
from discreet.assistant.gate import Decision, declare, gate
from discreet.assistant.guard import Guard, Guarded
from discreet.assistant.notes import Note, Notes, say_no_note
from discreet.assistant.policy import Policy
from discreet.assistant.safety import asks_for
from discreet.assistant.safety_numbers import emergency_text
from discreet.assistant.sight import (
    NOT_FOR_DANGER,
    NOT_FOR_REFUSAL,
    Sight,
    wanted_of,
    why_left_out,
    why_unseen,
)
from discreet.assistant.texts import TEXTS
from discreet.assistant.turn import Reply, Turn
from discreet.errors import PolicyError
from discreet.model import (
    GUIDANCE,
    IMAGE_TOKEN,
    Answer,
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
from discreet.types import Language, Mode, Observation, Percept

NEAR = 3
"""Notes that are named where none fits."""
RESPONDER_LANGUAGE: Language = "en"
"""What the base writes and the guard reads; a note in another language is said as it is."""
OTHER_LANGUAGE = "the responder does not write the note's language"


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
    adapter: str | None = None
    """Which of the responder's adapters answers: its name, `base` for none, None for the one in
    use."""
    country: str | None = None
    """Two letters of ISO 3166-1: whose emergency numbers are said. None names no number."""
    write: Callable[[Vlm, Sequence[Request]], list[Answer]] = answer_all
    """What lets the responder write; a service puts the passes of many visitors together."""

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
        sight = self.look(turn, mode=mode)
        return self.answer(turn, sight, max_new_tokens=max_new_tokens, on_text=on_text)

    def look(self, turn: Turn, *, mode: Mode = "gated") -> Sight:
        """Return what this turn makes of its picture, which `answer` does not look at.

        Where words of danger to life or of what is never given are answered, nobody looks.

        Raises:
            PolicyError: if the policy has no such purpose, or does not allow `native` for it.
            ValueError: if `native` is asked for without a picture, or a declared value is unknown.
            TooManyTokens: if the question is too long.
        """
        started = time.perf_counter()
        if is_emergency(turn.question):
            return Sight(left_out=None if turn.image is None else NOT_FOR_DANGER)
        if asks_for(turn.question):
            return Sight(left_out=None if turn.image is None else NOT_FOR_REFUSAL)
        self._check(turn, mode)
        purpose = self.policy.purpose_of(turn.purpose)
        unseen = why_unseen(turn, purpose, mode, can_look=self.perceiver is not None)
        percept = None if unseen else self._perceive(turn, mode)
        left_out = unseen or why_left_out(percept)
        features = None
        if mode == "native" and turn.image is not None and left_out is None:
            features = encode_images(self.vlm, [turn.image], adapter=self.adapter)
        return Sight(
            mode="gated" if features is None else "native",
            observations=() if percept is None else percept.observations,
            left_out=left_out,
            features=features,
            seconds=time.perf_counter() - started,
        )

    def answer(
        self,
        turn: Turn,
        sight: Sight,
        *,
        max_new_tokens: int = 96,
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:
        """Return an answer to a turn whose picture, if any, was looked at; see `reply`."""
        started = time.perf_counter() - sight.seconds
        show = on_text or (lambda piece: None)
        if is_emergency(turn.question):
            text = emergency_text(self.notes.language, self.country, turn.question)
            return self._reply_fixed(turn, text, show, started, sight.left_out)
        if refused := asks_for(turn.question):
            text = TEXTS[self.notes.language].refusal(refused)
            fixed = self._reply_fixed(turn, text, show, started, sight.left_out)
            return replace(fixed, refused=refused)
        decision = self._decide(turn, sight)
        note_cut = drafts = 0
        note = self.notes.find(turn.question, self.policy.context)
        near: list[Note] = []
        if note is None:
            near = self.notes.near(turn.question, self.policy.context, NEAR)
            answer = _fixed(say_no_note(near, self.notes.language), show)
        else:
            if note.language == RESPONDER_LANGUAGE:
                request, note_cut = self._request(turn, note, decision, sight, max_new_tokens)
                reader = None if sight.mode == "native" else reader_told(decision.told)
                answer, drafts = self._respond(note, turn.question, request, reader, show)
            else:
                answer = replace(Guard(note, turn.question, show).close(), replaced=OTHER_LANGUAGE)
        return Reply(
            text=answer.text,
            mode=sight.mode,
            note_id=None if note is None else note.id,
            note_question=None if note is None else note.question,
            note_text=None if note is None else note.text,
            replaced=answer.replaced,
            left_out=sight.left_out,
            decision=decision,
            seconds=time.perf_counter() - started,
            near=tuple(n.question for n in near),
            note_cut=note_cut,
            added=answer.added,
            unsaid=answer.unsaid,
            drafts=drafts,
        )

    def _reply_fixed(
        self,
        turn: Turn,
        text: str,
        show: Callable[[str], None],
        started: float,
        left_out: str | None,
    ) -> Reply:
        """Show a fixed text, and only then what a note of this context says."""
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
            left_out=left_out,
            decision=Decision(passed=(), withheld=()),
            seconds=time.perf_counter() - started,
        )

    def _check(self, turn: Turn, mode: Mode) -> None:
        """Refuse what may not be asked, before anybody looks."""
        self.observations(turn, Sight())
        self.policy.purpose_of(turn.purpose)
        check_question(self.vlm, turn.question)
        if mode == "native":
            self._check_native(turn)

    def _check_native(self, turn: Turn) -> None:
        if not self.policy.may_show_picture(turn.purpose):
            raise PolicyError(
                f"The policy for {self.policy.context} does not let the responder see pictures for "
                "this purpose. Use the gated mode."
            )
        if turn.image is None:
            raise ValueError("Expected a picture in native mode, got none. Add one, or use gated.")

    def observations(self, turn: Turn, sight: Sight) -> tuple[Observation, ...]:
        """Return what is said and what is seen, in the order in which the gate takes it.

        Raises:
            ValueError: if a declared value is unknown.
        """
        said = (declare(name, value) for name, value in turn.declared.items())
        return (*said, *sight.observations)

    def _decide(self, turn: Turn, sight: Sight) -> Decision:
        """Return what of what is said and seen may be used."""
        return gate(
            self.observations(turn, sight),
            self.policy,
            purpose=turn.purpose,
            consented=turn.consented,
            minor=turn.minor,
        )

    def _perceive(self, turn: Turn, mode: Mode) -> Percept | None:
        """Return what is seen, or None where there is nothing to see or nobody to look.

        In native mode the responder sees the picture itself, and only the faces are counted.
        """
        if turn.image is None or self.perceiver is None:
            return None
        purpose = self.policy.purpose_of(turn.purpose)
        wanted = [] if mode == "native" else wanted_of(turn, purpose)
        return self.perceiver.perceive(turn.image, wanted)

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
        self.write(self.vlm, heard)
        return [guard.close() for guard in guards]

    def _request(
        self, turn: Turn, note: Note, decision: Decision, sight: Sight, max_new_tokens: int
    ) -> tuple[Request, int]:
        """Return what the responder is asked, and how many sentences of the note were cut."""
        person = person_line(decision.told)
        if sight.mode == "native":
            person = f"{IMAGE_TOKEN} {person}" if decision.told else IMAGE_TOKEN
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
            image_features=sight.features,
            contrast=None
            if person == anybody
            else build_prompt(turn.question, note=fitted.text, person=anybody),
            guidance=self.guidance,
            adapter=self.adapter,
            max_new_tokens=max_new_tokens,
        )
        return request, fitted.sentences_cut


def _fixed(text: str, show: Callable[[str], None]) -> Guarded:
    """Say a fixed text, and return it as an answer that nothing was changed in."""
    show(text)
    return Guarded(text=text, replaced=None, added=0, unsaid=0)
