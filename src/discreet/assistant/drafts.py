"""Which of several drafts is shown: the one that its checks like best.

A small model's likeliest answer forgets a fact, or misses the form of its reader, more often than
all of a few answers do. Only rules choose: what the guard found, and
`discreet.readers.fits_reader`. Drafts of one prompt are the same each time, so that what people are
shown follows from their words alone. It does not write (`session`), and judges no content beyond
what the guard did.

    >>> from dataclasses import replace
    >>> plain = Guarded(text="Rest now.", replaced=None, added=0, unsaid=0)
    >>> best_of([replace(plain, added=1), plain], None, "en").added
    0
"""

from collections.abc import Sequence
from dataclasses import replace

from discreet.assistant.guard import Guarded
from discreet.model import Request
from discreet.readers import Reader, fits_reader, reader_of
from discreet.types import ADULTS, Language, Observation

DRAFTS = 4
"""Written where the first falls short, the first included."""
TEMPERATURE = 0.7
"""Of all drafts but the first, which takes the likeliest token each time."""
TOP_P = 0.95


def reader_told(passed: Sequence[Observation]) -> Reader:
    """Return for whom an answer is written, by what passed the gate.

    A gate that lets an expression pass allows what `reader_of` does with it in healthcare. Who
    wants plain words gets the form of a child's answer, unless steps or calm words are for them.
    """
    values = {seen.attribute: seen.value for seen in passed}
    reader = reader_of(
        "healthcare",
        values.get("age_band") or "young_adult",  # type: ignore[arg-type]
        values.get("expression"),  # type: ignore[arg-type]
    )
    return "child" if values.get("reading") == "plain" and reader in ADULTS else reader


def redrafts(request: Request, drafts: int) -> list[Request]:
    """Return the requests of all drafts but the first: the same prompt, drawn by other seeds."""
    return [
        replace(request, temperature=TEMPERATURE, top_p=TOP_P, seed=seed)
        for seed in range(1, drafts)
    ]


def falls_short(answer: Guarded, reader: Reader | None, language: Language) -> bool:
    """Tell whether another draft could be better: a form missed, or facts that the note adds."""
    return any(_shortcomings(answer, reader, language)[:2]) or answer.added > 0


def best_of(answers: Sequence[Guarded], reader: Reader | None, language: Language) -> Guarded:
    """Return the answer with the least shortcomings; of equal ones the first.

    Args:
        answers: One or more, after the guard.
        reader: Whom they are written for; None if nobody can tell, and the form does not count.
        language: They are written in.
    """
    return min(answers, key=lambda answer: _shortcomings(answer, reader, language))


def _shortcomings(
    answer: Guarded, reader: Reader | None, language: Language
) -> tuple[bool, bool, int, int, int]:
    """Return, worst first: the note spoke alone, another form, new words, facts added, words taken.

    New words come before added facts: what the note adds is right, what a draft adds need not be.
    """
    misfits = reader is not None and not fits_reader(answer.text, reader, language)
    found = answer.new_words, answer.added, answer.unsaid
    return answer.replaced is not None, misfits, *found
