"""What of an answer may be shown: finished sentences, checked one by one against the note.

A small model turns facts round, invents some and forgets others. Nothing here understands an
answer; what can be found by rule is stopped before it is shown, and the note speaks instead: for
the whole answer, or for the key facts that it lacks. The note's safety line ends every answer.

    >>> note = Note(id="n", question="?", text="Rest for six hours.", context="healthcare")
    >>> guard = Guard(note, "How long?", lambda text: None)
    >>> guard.take("Rest a lot. Rest for 9 hours. ")
    Traceback (most recent call last):
    discreet.model.generation.Enough
    >>> answer = guard.close()
    >>> answer.text, answer.replaced
    ('Rest a lot. The note says: Rest for six hours.', 'a number that the note does not have')
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from discreet.assistant.amounts import amounts, are_borne_out, plain_text
from discreet.assistant.notes import Note
from discreet.assistant.safety import Refused, gives
from discreet.assistant.texts import TEXTS
from discreet.assistant.wording import SENTENCE, Wording, stems
from discreet.model import Enough
from discreet.types import KeyFact

SAME_LINE = 0.75
"""Share of stems in common, of all in either, from which a sentence says the safety line."""
NEVER_GIVEN: dict[Refused, str] = {
    "dose": "it gave a dose that the note does not have",
    "diagnosis": "it gave a diagnosis",
}
_END = re.compile(r"(?<!\d)[.!?]+(?=\s)|\n+")
_STEP = re.compile(r"^\s*(\d+)[.)](?!\d)\s*")
_FIRST_STEP = re.compile(r"(?<=:)\s*(1)[.)]\s")
"""The number of a step in the sentence that announces the steps."""
_ANY_STEP = re.compile(r"(?:^|(?<=[.!?:\n])\s?)(\d{1,2})[.)]\s")
_LABEL = re.compile(r"^\s*(?:question|answer(?: for\b[^.]*)?|note|a|q)\s*[:.]", re.IGNORECASE)
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Guarded:
    """An answer as it was shown."""

    text: str = field(repr=False)
    replaced: str | None
    """Why the whole note had to speak for the responder; None if it had not."""
    added: int
    """Sentences of the note that were added for key facts which the responder left unsaid."""
    unsaid: int
    """Sentences of the responder that were not shown because the note does not bear them out."""
    new_words: int = 0
    """Different words of the responder that were shown and that the note does not have."""


class Guard:
    """Passes on what a responder writes, sentence by sentence, until one must not be said."""

    def __init__(self, note: Note, question: str, show: Callable[[str], None]) -> None:
        self._note = note
        self._texts = TEXTS[note.language]
        vetted = f"{note.text} {note.safety}".strip()
        self._known = amounts(f"{vetted} {note.question}", articles=True)
        self._wording = Wording.of(vetted, note.question, question)
        self._safety = [stems(line) for line in SENTENCE.split(note.safety)]
        self._show = show
        self._shown = ""
        self._heard = ""
        self._pending = ""
        self._reason: str | None = None
        self._unsaid = 0
        self._new_words: frozenset[str] = frozenset()
        self._steps = 0  # heard so far, shown or not
        self._steps_unsaid = 0
        self._has_gap = False  # after a sentence that is left out, its line break is not wanted

    def take(self, piece: str) -> None:
        """Take in a piece of text.

        Raises:
            Enough: if the writer should stop.
        """
        self._pending += piece
        while end := _END.search(self._pending):
            sentence, self._pending = self._pending[: end.end()], self._pending[end.end() :]
            self._judge(sentence)

    def close(self) -> Guarded:
        """Return the whole answer, after the note has said what is missing.

        A sentence that was cut off is left out. What was shown before stays as it is.
        """
        left, self._pending = self._pending, ""
        if self._reason is None and (not self._heard or left.rstrip().endswith((".", "!", "?"))):
            with contextlib.suppress(Enough):
                self._judge(left)
        if self._reason is None and self._unsaid and not self._shown.strip():
            self._reason = "nothing of it kept to the note"
        added = 0
        if self._reason is not None:
            self._say(f"{self._texts.note_says} {self._note.text}")
        elif not self._shown.strip():
            self._say(self._note.text)
            self._reason = "nothing of it was finished"
        elif missing := self._missing():
            self._add(missing)
            added = len(missing)
        if self._note.safety and self._note.safety not in self._shown:
            self._say(self._note.safety)
        return Guarded(
            text=self._shown.strip(),
            replaced=self._reason,
            added=added,
            unsaid=self._unsaid,
            new_words=len(self._new_words),
        )

    def _missing(self) -> list[str]:
        """Return the sentences of the note that hold key facts which nobody said."""
        said = f"{self._shown} {self._note.safety}"
        lacking = [fact for fact in self._note.facts if not re.search(fact.pattern, said)]
        return covering(SENTENCE.split(self._note.text), lacking)

    def _add(self, sentences: list[str]) -> None:
        """Say sentences of the note: as further steps where the answer is steps."""
        steps = [int(found[1]) for found in _ANY_STEP.finditer(self._shown)]
        if steps[:2] == [1, 2]:
            numbered = enumerate(sentences, max(steps) + 1)
            self._say(" ".join(f"{number}. {sentence}" for number, sentence in numbered))
        else:
            self._say(f"{self._texts.note_also_says} {' '.join(sentences)}")

    def _say(self, text: str) -> None:
        gap = " " if self._shown and not self._shown[-1].isspace() else ""
        self._shown += gap + text
        self._show(gap + text)

    def _judge(self, sentence: str) -> None:
        """Show a sentence, leave it out, or end the answer."""
        if label := _LABEL.match(sentence):
            if self._heard:
                raise Enough
            sentence = sentence[label.end() :].lstrip()
        plain = plain_text(sentence)
        said = [" ".join((text + plain).split()) for text in (self._shown, self._heard)]
        if any(re.search(pattern, text) for pattern in self._note.forbidden for text in said):
            self._reason = "it said what the note forbids"
            raise Enough
        if given := gives(sentence, note=f"{self._note.text} {self._note.safety}"):
            self._reason = NEVER_GIVEN[given]
            raise Enough
        if not are_borne_out(amounts(self._without_step(sentence)), self._known):
            self._reason = "a number that the note does not have"
            raise Enough
        words = set(_LONG_WORD.findall(sentence.lower()))
        if words and words <= set(_LONG_WORD.findall(self._heard.lower())):
            raise Enough  # a small model that repeats itself does not come back
        self._heard += sentence
        repeats_safety = self._is_safety_line(sentence)
        if repeats_safety or self._wording.objection(sentence):
            self._unsaid += not repeats_safety
            self._steps_unsaid += bool(_STEP.match(sentence))
            self._has_gap = True
        elif sentence.strip() or (sentence and not self._has_gap):
            self._new_words |= self._wording.new_words(sentence)
            sentence, self._has_gap = self._renumbered(sentence), False
            self._shown += sentence
            self._show(sentence)

    def _without_step(self, sentence: str) -> str:
        """Return a sentence without the number of its step, if it is the next one's."""
        step = _STEP.match(sentence) or _FIRST_STEP.search(sentence)
        if step is None or int(step[1]) != self._steps + 1:
            return sentence
        self._steps += 1
        return f"{sentence[: step.start()]} {sentence[step.end() :]}"

    def _is_safety_line(self, sentence: str) -> bool:
        """Return whether a sentence says, in the same words, what will end the answer."""
        own = stems(sentence)
        return any(len(own & line) >= SAME_LINE * len(own | line) > 0 for line in self._safety)

    def _renumbered(self, sentence: str) -> str:
        """Return a step with the number that it has among those that are shown."""
        step = _STEP.match(sentence)
        if step is None or not self._steps_unsaid:
            return sentence
        number = max(1, int(step[1]) - self._steps_unsaid)
        return f"{sentence[: step.start(1)]}{number}{sentence[step.end(1) :]}"


def covering(sentences: list[str], facts: list[KeyFact]) -> list[str]:
    """Return few, short sentences that hold the facts, in their order and none twice.

    Greedy set cover: the sentence with most of the facts that are still missing, and of those the
    shortest (Chvatal 1979, Mathematics of Operations Research 4(3)). A fact that only several
    sentences hold together takes them all.

    >>> fact = KeyFact(name="dry", pattern="dry")
    >>> covering(["Keep it cool and dry, always.", "Keep it dry.", "Lock it."], [fact])
    ['Keep it dry.']
    """
    holds = [{fact for fact in facts if re.search(fact.pattern, text)} for text in sentences]
    missing, chosen = set(facts), set[int]()
    if missing - set[KeyFact]().union(*holds):
        return sentences
    while missing:
        gains = [
            (len(own & missing), -len(text)) for own, text in zip(holds, sentences, strict=True)
        ]
        best = gains.index(max(gains))
        chosen.add(best)
        missing -= holds[best]
    return [sentences[place] for place in sorted(chosen)]
