"""What of an answer may be shown: finished sentences, checked one by one against the note.

A small model turns facts round. Nothing here understands an answer; it stops what can be found by
rule, before it is shown, and lets the note speak instead.

    >>> note = Note(id="n", question="?", text="Rest for six hours.", context="healthcare")
    >>> guard = Guard(note, "How long?", lambda text: None)
    >>> guard.take("Rest a lot. Rest for 9 hours. ")
    Traceback (most recent call last):
    discreet.model.generation.Enough
    >>> guard.close()
    ('Rest a lot. The note says: Rest for six hours.', 'a number that the note does not have')
"""

import contextlib
import re
from collections.abc import Callable

from discreet.assistant.notes import Note
from discreet.model import Enough

EMERGENCY = (
    "This may be an emergency. Call your local emergency number now, or ask someone near you to "
    "call. If you think of harming yourself, you are not alone: call now, and stay with someone."
)
_EMERGENCY = re.compile(
    r"chest (?:pain|hurts)|heart attack|(?:can ?no|can['’]?)t breathe|not breathing"
    r"|(?:trouble|hard|difficulty) (?:to )?breath|chok(?:e|ing)\b|suicid|kill (?:my|him|her)self"
    r"|(?:want|wish) to die|harm(?:ing)? myself|overdos|too many (?:pills|tablets)|swallowed"
    r"|poisoned|unconscious|fainted|passed out|lot of blood|bleeding (?:a lot|badly|heavily)"
    r"|having a stroke",
    re.IGNORECASE,
)
_END = re.compile(r"(?<!\d)[.!?]+(?=\s)|\n+")
_STEP = re.compile(r"^\s*\d+[.)]\s*")
_LABEL = re.compile(r"^\s*(?:question|answer(?: for\b[^.]*)?|note|a|q)\s*[:.]", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{4,}")
_SMALL = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety hundred"
_OTHER = "thousand double twice half third quarter fifth tenth"
_VALUES = {
    **{word: str(value) for value, word in enumerate(_SMALL.split(), 2)},
    **{word: str(10 * value) for value, word in enumerate(_TENS.split(), 2)},
    **{word: word for word in _OTHER.split()},
}
_NUMBER = re.compile(rf"\d+|\b(?:{'|'.join(_VALUES)})\b", re.IGNORECASE)


class Guard:
    """Passes on what a responder writes, sentence by sentence, until one must not be said."""

    def __init__(self, note: Note, question: str, show: Callable[[str], None]) -> None:
        self._note = note
        self._known = _numbers(f"{note.text} {note.safety} {question}")
        self._show = show
        self._shown = ""
        self._pending = ""
        self._reason: str | None = None

    def take(self, piece: str) -> None:
        """Take in a piece of text.

        Raises:
            Enough: if the writer should stop.
        """
        self._pending += piece
        while end := _END.search(self._pending):
            sentence, self._pending = self._pending[: end.end()], self._pending[end.end() :]
            self._judge(sentence)

    def close(self) -> tuple[str, str | None]:
        """Return the whole answer, and why the note had to speak for the responder, if it had to.

        A sentence that was cut off is left out.
        """
        left, self._pending = self._pending, ""
        if self._reason is None and (not self._shown or left.rstrip().endswith((".", "!", "?"))):
            with contextlib.suppress(Enough):
                self._judge(left)
        if self._reason is not None:
            self._say("The note says: " + self._note.text)
        elif not self._shown.strip():
            self._say(self._note.text)
        if self._note.safety and self._note.safety not in self._shown:
            self._say(self._note.safety)
        return self._shown.strip(), self._reason

    def _say(self, text: str) -> None:
        gap = " " if self._shown and not self._shown[-1].isspace() else ""
        self._shown += gap + text
        self._show(gap + text)

    def _judge(self, sentence: str) -> None:
        """Show a sentence, or end the answer."""
        if label := _LABEL.match(sentence):
            if self._shown:
                raise Enough
            sentence = sentence[label.end() :].lstrip()
        said = " ".join((self._shown + sentence).split())
        if any(re.search(pattern, said) for pattern in self._note.forbidden):
            self._reason = "it said what the note forbids"
            raise Enough
        if not _numbers(_STEP.sub("", sentence)) <= self._known:
            self._reason = "a number that the note does not have"
            raise Enough
        words = set(_WORD.findall(sentence.lower()))
        if words and words <= set(_WORD.findall(self._shown.lower())):
            raise Enough  # a small model that repeats itself does not come back
        if sentence:
            self._shown += sentence
            self._show(sentence)


def is_emergency(question: str) -> bool:
    """Return whether a question speaks of danger to life, by its words alone.

    >>> is_emergency("I have chest pain"), is_emergency("Why is salt bad?")
    (True, False)
    """
    return _EMERGENCY.search(question) is not None


def _numbers(text: str) -> set[str]:
    """Return the numbers of a text, however they are written."""
    return {_VALUES.get(found.lower(), found) for found in _NUMBER.findall(text)}
