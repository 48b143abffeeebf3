"""Whether somebody speaks of danger to life: patterns of words in two languages, and no model.

The patterns are data (`danger_words.LANGUAGE.toml`), grouped by danger, and all are heard in every
text, whatever the notes are written in. Missing a danger is worse than a needless word of caution:
only three plain rules make one of no account. It is denied right before ("no chest pain"); the
sentence asks for knowledge and speaks of nobody ("What is a stroke?"); or it is long past.
A rule misses what it has no words for: docs/design.md says how often.

    >>> is_emergency("I have chest-pain"), is_emergency("il n’arrive plus a respirer")
    (True, True)
    >>> is_emergency("What is a heart attack?"), is_emergency("I do not have chest pain")
    (False, False)
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

HEARD = 8_000
"""Characters of a question that are heard: half at its beginning and half at its end."""
GAP = r"(?: \w{1,15}){0,3} "
"""What `~` stands for in a pattern: up to three words between two others."""
_BEFORE = 60
"""Characters before a danger in which a denial is looked for."""
_APOSTROPHES = dict.fromkeys(map(ord, "’‘‛ʼʹ′‵´`＇"), "'")
# Letters of other scripts that look like ours, and those that NFKD leaves whole.
_ALIKE = str.maketrans(
    "АВЕКМНОРСТУХЅІЈԌԚԜавекмнорстухѕіјԁһԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβεικνορτυχıłøđ",
    "ABEKMHOPCTYXSIJGQWabekmhopctyxsijdhqwABEZHIKMNOPTYXabeiknoptuxilod",
    "\u00ad",
) | {ord("œ"): "oe", ord("Œ"): "oe", ord("æ"): "ae", ord("Æ"): "ae"}
# Short forms, written with or without what stands for an apostrophe.
_SHORT = [
    (re.compile(short), long)
    for short, long in [
        (r"\bca ?n ?n?o?t\b", "can not"),
        (r"\bwo ?n ?t\b", "will not"),
        (r"\b(is|are|was|were|do|does|did|has|have|had|could|would|should) ?n ?t\b", r"\1 not"),
        (r"\bain ?t\b", "is not"),
        (r"\bi ?m\b", "i am"),
        (r"\b(i|we|you|they) ?ve\b", r"\1 have"),
        (r"\b(he|she|it|that|there) ?s\b", r"\1 is"),
        (r"\b(you|we|they) re\b", r"\1 are"),
        (r"\bgona\b", "going to"),
        (r"\bwana\b", "want to"),
        (r"\bj(?=(?:ai|arive|etoufe|avais)\b)", "j "),
        (r"\b([ns])(?=(?:arive|ai|est|etoufe)\b)", r"\1 "),
        (r"\bc(?=est\b)", "c "),
    ]
]
_SENTENCE = re.compile(r"[^.!?;:]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """The patterns of one language, compiled."""

    said: re.Pattern[str]
    named: re.Pattern[str]
    kinds: Mapping[str, re.Pattern[str]]
    opener: re.Pattern[str]
    somebody: re.Pattern[str]
    ahead: re.Pattern[str]
    past: re.Pattern[str]
    denied: re.Pattern[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the words of a file."""
        groups = tomllib.loads(path.read_text(encoding="utf-8"))
        rules = groups.pop("questions")
        dangers = {
            tier: compiled([word for group in groups.values() for word in group[tier]])
            for tier in ("said", "named")
        }
        return cls(
            **dangers,
            kinds={
                kind: compiled(words["said"] + words["named"]) for kind, words in groups.items()
            },
            opener=compiled([rules["opener"]], "^ ?"),
            somebody=compiled([rules["somebody"]]),
            ahead=compiled([rules["ahead"]]),
            past=compiled([rules["past"]]),
            denied=compiled([rules["denied"]], end=" $"),
        )

    def asks_for_knowledge(self, sentence: str) -> bool:
        """Return whether a sentence asks about a danger that nobody is said to be in."""
        if not self.opener.search(sentence):
            return False
        return bool(self.ahead.search(sentence)) or not self.somebody.search(sentence)


def compiled(patterns: list[str], begin: str = r"\b", end: str = r"\b") -> re.Pattern[str]:
    """Return one pattern for several, to be looked for in what `plain` returns."""
    written = "|".join(_squeezed(pattern) for pattern in patterns).replace("~", GAP)
    return re.compile(f"{begin}(?:{written}){end}")


def _squeezed(text: str) -> str:
    """Return a text with each doubled letter once: most misspellings are of that kind."""
    return re.sub(r"(?<!\\)([a-z])\1+", r"\1", text)


@cache
def _languages() -> tuple[_Words, ...]:
    paths = sorted(Path(__file__).parent.glob("danger_words.*.toml"))
    return tuple(_Words.read(path) for path in paths)


def plain(question: str) -> str:
    """Return a question as patterns read it: at most `HEARD` characters and a mark between ends.

    Unseen characters and accents go, letters that look alike are one, apostrophes and hyphens are
    spaces, short forms are written out, and each doubled letter stands once.
    """
    straight = _ends(question, 10 * HEARD).translate(_APOSTROPHES).translate(_ALIKE)
    letters = unicodedata.normalize("NFKD", straight)
    kept = "".join(letter for letter in letters if _is_seen(letter)).translate(_ALIKE).lower()
    spaced = re.sub(r"[\s_]+", " ", re.sub(r"[^\w\s.!?;:,]", " ", kept.replace(",", " , ")))
    words = _squeezed(_ends(spaced, HEARD))
    for short, long in _SHORT:
        words = short.sub(long, words)
    return words


def _ends(text: str, most: int) -> str:
    """Return a text, or the beginning and the end of one that is longer than `most` characters."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} . {text[-half:]}"


def _is_seen(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Mn", "Me"}


def is_emergency(question: str) -> bool:
    """Return whether a question speaks of danger to life, by its words alone."""
    return any(_speaks_of_danger(part) for part in _SENTENCE.findall(plain(question)))


def dangers(question: str) -> frozenset[str]:
    """Return the kinds of danger to life that a question speaks of: groups of the files of words.

    >>> sorted(dangers("she drank bleach and wants to kill herself"))
    ['poisoning', 'self_harm']
    """
    return frozenset(
        kind
        for part in _SENTENCE.findall(plain(question))
        if _speaks_of_danger(part)
        for words in _languages()
        for kind, pattern in words.kinds.items()
        if any(is_stated(found) for found in pattern.finditer(part))
    )


def _speaks_of_danger(sentence: str) -> bool:
    languages = _languages()
    if any(is_stated(found) for words in languages for found in words.said.finditer(sentence)):
        return True
    if any(w.asks_for_knowledge(sentence) or w.past.search(sentence) for w in languages):
        return False
    return any(is_stated(found) for words in languages for found in words.named.finditer(sentence))


def is_stated(found: re.Match[str]) -> bool:
    """Return whether what was found is not denied right before."""
    before = found.string[max(0, found.start() - _BEFORE) : found.start()]
    return not any(words.denied.search(before) for words in _languages())
