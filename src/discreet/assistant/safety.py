"""No dose and no diagnosis, whoever asks; and whether somebody says that they are not well.

By patterns of words in two languages (`safety_words.LANGUAGE.toml`), all heard in every text, as in
`emergency`. A question that asks for a dose or a diagnosis is answered by a fixed text and the
vetted note; an answer that gives one, and whose note does not, is not shown. It reads words alone
and misses what it has no words for; nobody's state is read from a picture here.

    >>> asks_for("How much paracetamol can I take?"), asks_for("Ai-je un cancer ?")
    ('dose', 'diagnosis')
    >>> gives("You have asthma.", note="Rest."), gives("Ask a doctor.", note="Rest.")
    ('diagnosis', None)
"""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

from discreet.assistant.emergency import compiled, is_stated, plain
from discreet.assistant.policy import Policy

Refused = Literal["dose", "diagnosis"]
"""What is neither said nor shown."""
REFUSED: tuple[Refused, ...] = ("dose", "diagnosis")


def asks_for(question: str) -> Refused | None:
    """Return what a question asks for that is never given, or None."""
    words = plain(question)
    return next((kind for kind in REFUSED if _words("asks", kind).search(words)), None)


def gives(text: str, *, note: str) -> Refused | None:
    """Return what a text gives that its note does not give either, or None.

    Whoever vouches for a note with a dose vouches for the dose; `guard` compares its numbers.
    """
    given = (kind for kind in REFUSED if _is_given(kind, text) and not _is_given(kind, note))
    return next(given, None)


def _is_given(kind: Refused, text: str) -> bool:
    given = _words("says", kind).finditer(plain(text))
    return any(is_stated(found) and _is_meant(found) for found in given)


def says_distress(question: str) -> bool:
    """Return whether somebody says of themselves that they are afraid, sad or at their end.

    >>> says_distress("I am so scared"), says_distress("What helps when people are scared?")
    (True, False)
    """
    return any(map(_is_meant, _words("person", "distress").finditer(plain(question))))


def hears_distress(policy: Policy) -> bool:
    """Return whether the context is one in which somebody's state may matter to an answer.

    It is where some purpose of the policy has a rule for expressions, which education and work
    cannot have.
    """
    return any("expression" in purpose.attributes for purpose in policy.purposes.values())


def _is_meant(found: re.Match[str]) -> bool:
    """Return whether what was found is not only supposed: "if you have asthma"."""
    return not _words("person", "supposed").search(found.string[: found.start()].rstrip())


@cache
def _words(group: str, kind: str) -> re.Pattern[str]:
    """Return one pattern for what the files of all languages list."""
    patterns = []
    for path in sorted(Path(__file__).parent.glob("safety_words.*.toml")):
        file = tomllib.loads(path.read_text(encoding="utf-8"))
        lists = file["lists"]
        lists = {name: _filled(text, lists) for name, text in lists.items()}
        patterns += [_filled(pattern, lists) for pattern in file[group][kind]]
    return compiled(patterns)


def _filled(pattern: str, lists: dict[str, str]) -> str:
    return re.sub(r"<(\w+)>", lambda name: lists[name[1]], pattern)
