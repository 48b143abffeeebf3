"""Does a sentence keep to a note? Checks by its words, for English; nothing is understood.

*Words*: a sentence is not borne out if it brings at least two words of its own and most of the
words that make it special are new; if it is short and its only special words are; if it names what
to swallow or put on and the note does not; or if it is written in letters that the note has not.
*Polarity*: it is turned round if a word that it shares with a sentence of the note is negated on
one side only, if it tells to do what the note only warns of, or if it discredits in words that the
note has not. Negation reaches from its word to the end of the clause. *Person*: it says what
whoever asks is, looks or seems. How many right and wrong sentences each stops:
`tests/assistant/test_wording.py`.

    >>> wording = Wording.of("Do not squeeze pimples. Wash your face.", "What helps with pimples?")
    >>> [wording.objection(s) for s in ("Never squeeze pimples.", "You can squeeze the pimples.")]
    [None, 'turned round']
    >>> wording.objection("Toothpaste burns bacteria overnight.")
    'not in the note'
"""

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import Stemmer
from bm25s.stopwords import STOPWORDS_EN

from discreet.assistant.amounts import NUMBER_WORDS

Objection = Literal["about the person", "not in the note", "turned round"]
"""Why a sentence is not shown."""

FORM_WORDS_FILE = Path(__file__).parent / "form_words.en.toml"
MIN_QUESTIONS = 4
"""Questions whose answers have to use a word of their own accord before it counts as form."""
MIN_NEW_WORDS = 2
MAX_NEW_SHARE = 2 / 3
"""Of the words that are neither stop nor form words."""
SHORT = 4
"""Words up to which a sentence is short: there, nothing but new words is one too many."""
SHORT_ORDER = 7
"""Words up to which an order may not use what the note only warns of."""
MIN_SHARED = 0.5
"""Share of a sentence's words that a sentence of the note must hold to be compared with it."""

SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"[^\W\d_]{2,}(?:['’][^\W\d_]+)?")
_TOKEN = re.compile(r"[^\W\d_]{2,}(?:['’][^\W\d_]+)?|\d+|[.,;:!?]")
_REPLY = re.compile(r"^\s*(?:\d+[.)]\s*)?(?:no|yes|not always|not quite|if not)[,.;:]\s*", re.I)
_ENDS_CLAUSE = {
    *("but", "because", "so", "if", "when", "while", "until", "unless", "since", "which", "who"),
    *("after", "before", "than", ".", ",", ";", ":", "!", "?"),
}
_NEGATIONS = {
    *("not", "never", "no", "nor", "none", "neither", "cannot", "without", "nothing", "nobody"),
    *("hardly", "scarcely", "barely", "seldom", "rarely"),
}
_NOT_NEGATED = {
    *("do", "does", "did", "can", "always", "ever", "any", "one", "i", "me", "my", "we", "us"),
    *("our", "you", "your", "he", "him", "his", "she", "her", "its", "them", "those"),
}
"""Words of which it says nothing that they stand behind a negation."""
_TURNING_STEMS = (
    "wrong ignor refus forget hardli nobodi instead rather unless fals throw untru bare scarc "
    "seldom rare against despit doubt distrust mistrust disregard overrid dismiss reject "
    "discard neglect nonsens useless pointless needless unnecessari mistaken myth fake hoax joke "
    "except contrari opposit deni disobey worthless silli stupid harmless"
)
_TURNING = frozenset(_TURNING_STEMS.split())
"""Stems that discredit, or turn round what stands beside them."""
_INSTEAD_OF = re.compile(r"\binstead of\b", re.IGNORECASE)
_LIES = re.compile(
    r"\b(?:lie[sd]?|lying)\b"
    r"(?! (?:down|flat|still|on|back|in|with|awake|there|between|far|equally|when))",
    re.I,
)
_STEP = re.compile(r"^\s*\d+[.)](?!\d)\s*")
_OPENING = re.compile(
    r"^\s*(?:(?:yes|no|please|then|now|first|next|just|also|always|and|so|you|can|should|may|must"
    r"|could|step by step|\d+[.)])[,:]?\s+)*",
    re.IGNORECASE,
)
"""What may stand before the verb of an order."""
_SWALLOWING = "drink eat swallow inject inhale smoke chew sniff"
_TAKE_IN = frozenset(_SWALLOWING.split())
"""Verbs of what goes into a body."""
_BARE_REPLY = re.compile(r"^\s*(?:yes|no|never|not at all|not really|of course)[.!]*\s*$", re.I)
_REPLY_FIRST = re.compile(r"^\s*(?:yes|no)\b", re.I)
_SAYS_YOU = re.compile(
    r"(?P<before>[^.,;:!?]*?)\byou(?:['’]re| (?:are|look|seem|sound|appear|must be))\b"
    r"(?! (?:is|means)\b)"
    r"(?P<what>[^.,;:!?]*)",
    re.IGNORECASE,
)
_IN_CASE = re.compile(r"\b(?:if|when|whether|until|till|while|where|how|what|once|unless)\b", re.I)
_PERSON = (
    r"(?:wom[ae]n|m[ae]n|girls?|boys?|lad(?:y|ies)|gentlem[ae]n|kid|teenager|pensioner|senior"
    r"|grand(?:mother|father|ma|pa))"
)
_ADDRESS = re.compile(
    rf"\b(?:as|being|for) an? (?:[\w-]+ ){{0,2}}{_PERSON}\b"
    r"|\b(?:as|being) a child\b|\b\w+ like you\b"
    r"|\b(?:at|of|for|about|by|because of) your"
    r" (?:age|sex|gender|race|religion|origin|colou?r|looks?)\b"
    r"|\byour (?:face|eyes|expression|voice|skin|age|gender|race|religion|looks?)"
    r" (?:is|are|looks?|seems?|shows?|says?|tells?|gives?|means?)\b",
    re.IGNORECASE,
)
_GROUP_STEMS = (
    "woman women man men girl boy ladi gentleman gentlemen muslim christian jew jewish hindu "
    "buddhist cathol protest african asian european arab latino hispan indian chines turkish "
    "caucasian gay lesbian transgend"
)
_GROUPS = frozenset(_GROUP_STEMS.split())
"""Stems that tell people apart by gender, religion, origin or race."""
_COMFORTING = "alon welcom sure"
_COMFORT = frozenset(_COMFORTING.split())
"""Stems that may stand behind "you are", as in "you are not alone"."""
_STOP = frozenset(STOPWORDS_EN)
_STEMMER = Stemmer.Stemmer("english")
_NUMBERS = frozenset(_STEMMER.stemWords(list(NUMBER_WORDS)))
"""Stems that are held against the note's amounts instead."""

Polarity = dict[str, frozenset[bool]]
"""Stems of a text, and whether each is negated there; both if it is found both ways."""


def stems(text: str) -> frozenset[str]:
    """Return the stems of a text's words of two letters or more, without stop words."""
    words = (word.lower().replace("’", "'") for word in _WORD.findall(text))
    return frozenset(_STEMMER.stemWord(word) for word in words if word not in _STOP)


def polarity(text: str) -> Polarity:
    """Return which stems of a text are negated; an answering "No," negates nothing.

    >>> sorted((stem, *found) for stem, found in polarity("Do not rub it, but rinse.").items())
    [('rins', False), ('rub', True)]
    """
    found: dict[str, frozenset[bool]] = {}
    is_negated = False
    for word in _TOKEN.findall(_REPLY.sub("", text).lower().replace("’", "'")):
        if word in _ENDS_CLAUSE:
            is_negated = False
        elif word in _NEGATIONS or word.endswith("n't") or word.startswith(("avoid", "skip")):
            is_negated = True
        elif word not in _STOP and word not in _NOT_NEGATED:
            stem = _STEMMER.stemWord(word)
            found[stem] = found.get(stem, frozenset()) | {is_negated}
    return found


def common_words(answers: Mapping[str, Sequence[str]]) -> list[str]:
    """Return stems of form: those that answers to several questions use of their own accord.

    Args:
        answers: For each text of a note with its question, the answers written from it.

    Returns:
        Stems that answers to `MIN_QUESTIONS` texts or more have and the texts have not, sorted.
    """
    uses = Counter(
        stem
        for known, written in answers.items()
        for stem in frozenset[str]().union(*map(stems, written)) - stems(known)
    )
    return sorted(stem for stem, count in uses.items() if count >= MIN_QUESTIONS)


@cache
def form_words() -> frozenset[str]:
    """Return the stems of form that ship: `common_words` of the public and private answers."""
    return frozenset(tomllib.loads(FORM_WORDS_FILE.read_text(encoding="utf-8"))["words"])


def scripts(text: str) -> frozenset[str]:
    """Return the scripts that a text is written in; pictures and unseen signs are one.

    >>> sorted(scripts("Take 2 δ 💊"))
    ['GREEK', 'LATIN', 'SIGN']
    """
    kinds = ((sign, unicodedata.category(sign)) for sign in unicodedata.normalize("NFKC", text))
    return frozenset(
        unicodedata.name(sign, "UNKNOWN").split()[0] if kind[0] == "L" else "SIGN"
        for sign, kind in kinds
        if kind[0] == "L" or kind in {"So", "Cf"}
    )


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of a note and its question, to hold sentences against."""

    known: frozenset[str] = field(repr=False)
    sentences: tuple[Polarity, ...] = field(repr=False)
    _all: frozenset[str] = field(repr=False)
    _to_you: frozenset[str] = field(repr=False)
    _text: str = field(repr=False)
    _scripts: frozenset[str] = field(repr=False)
    _warned: frozenset[str] = field(repr=False)
    _asked: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, vetted: str, question: str, asked: str = "") -> "Wording":
        """Return the words of a vetted text and of the vetted question that it answers.

        Args:
            vetted: Note and safety line.
            question: What the note is called; its words may be used.
            asked: What a person asks, which may be another question. Nobody has vetted its words:
                they bear nothing out, and no order, "Yes" or "No" may take them up.
        """
        text = f"{vetted} {question}".strip()
        told = SENTENCE.split(vetted)
        polarities = tuple(polarity(sentence) for sentence in told)
        negated = {stem for own in polarities for stem, found in own.items() if True in found}
        plain = {stem for own in polarities for stem, found in own.items() if False in found}
        return cls(
            known=stems(text) | form_words(),
            sentences=polarities,
            _all=_all_stems(text),
            _to_you=frozenset[str]().union(
                *(stems(one) for one in told if re.search(r"\byou", one, re.IGNORECASE))
            ),
            _text=" ".join(text.lower().split()),
            _scripts=scripts(text),
            _warned=frozenset(negated - plain - form_words()),
            _asked=stems(asked) - stems(text) - form_words(),
        )

    def objection(self, sentence: str) -> Objection | None:
        """Return why a sentence may not stand for the note, or None if nothing is found."""
        plain = unicodedata.normalize("NFKC", _STEP.sub("", sentence))
        if self._is_of_the_person(plain):
            return "about the person"
        if self._is_new(plain):
            return "not in the note"
        return "turned round" if self._is_turned_round(plain) else None

    def new_words(self, sentence: str) -> frozenset[str]:
        """Return the stems that neither the note nor the form of answers in general has."""
        return stems(_STEP.sub("", sentence)) - self.known

    def _is_of_the_person(self, sentence: str) -> bool:
        """Return whether a sentence says of whoever asks what the note does not say to them."""
        if (_all_stems(sentence) & _GROUPS) - self._all:
            return True
        if any(found.group().lower() not in self._text for found in _ADDRESS.finditer(sentence)):
            return True
        return any(
            stems(found["what"]) - _COMFORT - self._to_you
            for found in _SAYS_YOU.finditer(sentence)
            if not _IN_CASE.search(found["before"])
        )

    def _is_new(self, sentence: str) -> bool:
        if scripts(sentence) - self._scripts or self._repeats_question(sentence):
            return True
        words = stems(sentence) - form_words()
        new = words - self.known
        if _is_order(sentence, _TAKE_IN) and new:
            return True
        is_short = len(_WORD.findall(sentence)) <= SHORT
        if is_short and new == words and new - _NUMBERS and _is_order(sentence):
            return True
        return len(new) >= MIN_NEW_WORDS and len(new) > MAX_NEW_SHARE * len(words)

    def _repeats_question(self, sentence: str) -> bool:
        """Return whether an order, or a yes or no, takes its words from what was asked alone."""
        if not self._asked & stems(sentence):
            return False
        return bool(_REPLY_FIRST.match(sentence)) or _is_order(sentence)

    def _is_turned_round(self, sentence: str) -> bool:
        """Return whether words are negated here and nowhere in the note, or the other way."""
        if _BARE_REPLY.match(sentence) and " ".join(sentence.lower().split()) not in self._text:
            return True
        turning = (_all_stems(_INSTEAD_OF.sub("", sentence)) & _TURNING) - self._all
        if (turning and not stems(sentence) & self._warned) or _negates_twice(sentence):
            return True
        if any(found.group().lower() not in self._text for found in _LIES.finditer(sentence)):
            return True
        said = polarity(sentence)
        is_short_order = len(_WORD.findall(sentence)) <= SHORT_ORDER and _is_order(sentence)
        if is_short_order and any(said[stem] == {False} for stem in said.keys() & self._warned):
            return True
        shared = max((said.keys() & own.keys() for own in self.sentences), key=len)
        if not said or len(shared) < MIN_SHARED * len(said):
            return False
        return any(not said[stem] & self._polarity_of(stem) for stem in shared)

    def _polarity_of(self, stem: str) -> frozenset[bool]:
        return frozenset[bool]().union(*(own.get(stem, frozenset()) for own in self.sentences))


def _all_stems(text: str) -> frozenset[str]:
    return frozenset(
        _STEMMER.stemWord(word.lower().replace("’", "'")) for word in _WORD.findall(text)
    )


def _is_order(sentence: str, verbs: frozenset[str] | None = None) -> bool:
    """Tell whether a sentence may begin with its verb, of some verbs: no stop word comes first."""
    first = _WORD.match(_OPENING.sub("", sentence))
    if first is None:
        return False
    word = first.group().lower()
    return word not in _STOP if verbs is None else word in verbs


def _negates_twice(sentence: str) -> bool:
    """Return whether two negations meet in one part of a sentence."""
    count = 0
    for word in _TOKEN.findall(_REPLY.sub("", sentence).lower().replace("’", "'")):
        if word in _ENDS_CLAUSE or word in {"and", "or"}:
            count = 0
        count += word in _NEGATIONS - {"no", "nor"} or word.endswith("n't")
        if count > 1:
            return True
    return False
