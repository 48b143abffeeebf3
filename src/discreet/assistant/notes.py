"""The vetted notes, and which of them answers a question: locally, and only if it fits.

Notes are searched within one context, so that a note of another neither wins nor is named. Ways of
finding: `words`, `meaning` (a sentence encoder), and `both`, for comparison. How well a note has to
fit was chosen for each on questions that are not reported (`discreet bench ground`).

    >>> notes = Notes.build([Note(id="tick", question="What helps after a tick bite?",
    ...                           text="Pull it out slowly.", context="healthcare")])
    >>> notes.find("what helps after a bite of a tick", "healthcare").id
    'tick'
    >>> notes.find("what helps after a bite of a tick", "education") is None
    True
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from discreet.assistant.meaning import Meaning
from discreet.assistant.search import Finds, Found, Fused, Words
from discreet.assistant.texts import TEXTS
from discreet.model import load_sentence_encoder
from discreet.types import KeyFact, Language

Find = Literal["words", "meaning", "both"]
"""How a note is found; `meaning` and `both` need the sentence encoder."""
FINDS: tuple[Find, ...] = get_args(Find)
LEAST_FIT: dict[Find, dict[Language, float]] = {
    "words": {"en": 0.559, "fr": 0.479},
    "meaning": {"en": 0.554, "fr": 0.653},
    "both": {"en": 0.65, "fr": 0.547},
}
"""How well the best note has to fit; chosen by `discreet bench ground`, on even questions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Facts that the assistant's owner vouches for."""

    id: str
    question: str
    """A question that the note answers, in people's words: what a note is called."""
    text: str
    context: str
    """Policy context in which it is used."""
    safety: str = ""
    """A sentence that every answer ends with; empty if none is due."""
    forbidden: tuple[str, ...] = ()
    """Regular expressions of what no answer may say."""
    facts: tuple[KeyFact, ...] = ()
    """What every answer says; the note adds it where the responder did not."""
    language: Language = "en"
    """Of all its texts."""


@dataclass(frozen=True, slots=True)
class Match:
    """A note with how well it fits, at most 1."""

    note: Note
    fit: float


@dataclass(frozen=True, slots=True)
class Notes:
    """A searchable set of notes."""

    notes: Sequence[Note]
    least_fit: float
    """How well a note has to fit to be found."""
    _of: Mapping[str, Sequence[Note]] = field(repr=False)
    _finds: Mapping[str, Finds] = field(repr=False)

    @property
    def language(self) -> Language:
        """Return the language of the first note: what is said where no note fits."""
        return self.notes[0].language

    @classmethod
    def build(
        cls, notes: Sequence[Note], *, find: Find = "words", keep_in: Path | None = None
    ) -> "Notes":
        """Return an index for each context, over questions and texts; notes of one language.

        Args:
            notes: What is to be found.
            find: How; `words` is without weights, `meaning` finds more (docs/design.md).
            keep_in: Folder where vectors of the notes are kept from one start to the next, which
                takes seconds otherwise; None keeps none. Questions are never kept.

        Raises:
            ValueError: if there is no note.
            DataError: if the way of finding needs weights that are not installed.
        """
        if not notes:
            raise ValueError("Expected at least one vetted note, got none.")
        language = notes[0].language
        index = _indexing(find, language, keep_in)
        of = {
            context: [note for note in notes if note.context == context]
            for context in dict.fromkeys(note.context for note in notes)
        }
        finds = {
            context: index([(note.question, note.text) for note in group])
            for context, group in of.items()
        }
        return cls(notes, LEAST_FIT[find][language], of, finds)

    def find(self, question: str, context: str) -> Note | None:
        """Return the best note of a context, or None if none fits well enough."""
        ranked = self.rank(question, context)
        return ranked[0].note if ranked and ranked[0].fit >= self.least_fit else None

    def near(self, question: str, context: str, count: int) -> list[Note]:
        """Return the notes of a context that have most to do with a question, whether they fit.

        None where the question says nothing or, by words, shares none with any note. They may be
        named, as what there are notes for, and say nothing about the question.
        """
        return [found.note for found in self.rank(question, context)[:count]]

    def rank(self, question: str, context: str) -> list[Match]:
        """Return notes of a context, best first; its own question finds a note whatever else."""
        if context not in self._of:
            return []
        group = self._of[context]
        found = self._finds[context].rank(question)
        own = [place for place, note in enumerate(group) if _same(note.question, question)]
        rest = [one for one in found if one.place not in own]
        return [Match(group[one.place], one.fit) for one in [*(Found(o, 1.0) for o in own), *rest]]


def say_no_note(near: Sequence[Note], language: Language = "en") -> str:
    """Return what is said where no note fits: that there is none, and what there are notes for."""
    texts = TEXTS[language]
    if not near:
        return f"{texts.no_note} {texts.ask_else}"
    named = " ".join(f'"{note.question}"' for note in near)
    return f"{texts.no_note} {texts.can_tell} {named} {texts.ask_a_person}"


def _indexing(
    find: Find, language: Language, keep_in: Path | None
) -> Callable[[Sequence[tuple[str, str]]], Finds]:
    """Return what makes an index; an encoder is read once for all of them.

    Raises:
        ValueError: if there is no such way of finding.
    """
    if find == "words":
        return partial(Words.build, language=language)
    if find not in FINDS:
        raise ValueError(f"Expected find in {', '.join(FINDS)}, got {find!r}.")
    meaning = partial(Meaning.build, encoder=load_sentence_encoder(), keep_in=keep_in)
    if find == "meaning":
        return meaning
    return lambda pairs: Fused(Words.build(pairs, language), meaning(pairs), len(pairs))


def _same(one: str, other: str) -> bool:
    """Tell whether two questions are the same word for word."""
    return _plain(one) == _plain(other) != ""


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())
