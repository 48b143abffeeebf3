"""Why an answer is the way it is: what was known of the person, what became of it, what it changed.

What something changed is not looked up but found by leaving it out: the prompt and the form of the
answer with it are compared with those without it. It knows no more than the turn did, and keeps no
value that the gate held back.

    >>> child = Observation(attribute="age_band", value="child", source="declared", confidence=1.0)
    >>> changes_of(child, [child], "en")
    ('reading_level',)
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from discreet.assistant.drafts import reader_told
from discreet.assistant.gate import Reason, say_reason
from discreet.assistant.policy import CHANGES, PAGE_ONLY
from discreet.assistant.safety import Refused
from discreet.assistant.turn import Reply
from discreet.model import person_line
from discreet.readers import FORMS, READING_BANDS
from discreet.types import Language, Mode, Observation, Source

WORDS_PATH = Path(__file__).with_name("why_words.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """Something that was said or seen of the person, and what became of it."""

    attribute: str
    value: str | None = field(repr=False)
    """None if it was held back, or if its time is over."""
    source: Source
    confidence: float
    passed: bool
    reason: Reason | None
    """Why it was held back; None if it passed."""
    changed: tuple[str, ...]
    """Among `CHANGES`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Why:
    """What shaped one answer."""

    observed: tuple[Observed, ...]
    personalised: bool
    """Whether the person let answers be fitted to them."""
    person: str | None = field(repr=False)
    """What the model was told of the person; None if it was not asked."""
    mode: Mode
    left_out: str | None
    """Why the picture was not used; None if it was, or if there was none to use."""
    note_id: str | None = field(repr=False)
    note_question: str | None = field(repr=False)
    """What the note with the facts is called; None if there was none."""
    replaced: str | None
    """Why the note had to speak for the model; None if it had not."""
    refused: Refused | None
    urgent: bool
    """Whether the question spoke of danger to life."""
    added: int
    unsaid: int
    note_cut: int
    drafts: int

    def in_words(self, language: Language) -> str:
        """Return all of it as plain sentences, one thing a line."""
        said = _words(language)["says"]
        lines = [_say_observed(one, language) for one in self.observed] or [said["nobody"]]
        if not self.personalised:
            lines.insert(0, said["personalisation_off"])
        return "\n".join([*lines, *self._about_the_answer(language)])

    def picture_in_words(self, language: Language) -> str | None:
        """Return why the picture was not used; None if it was, or if there was none to use."""
        if self.left_out is None:
            return None
        words = _words(language)
        reason = words["texts"].get(self.left_out, self.left_out)
        return words["says"]["picture"].format(reason=reason)

    def _about_the_answer(self, language: Language) -> list[str]:
        said, text = _words(language)["says"], _words(language)["texts"]
        about = {
            "picture": self.left_out,
            "note": self.note_question,
            "person": self.person,
            "replaced": self.replaced,
        }
        counted = {
            "drafts": self.drafts if self.drafts > 1 else 0,
            "unsaid": self.unsaid,
            "added": self.added,
            "cut": self.note_cut,
        }
        is_fixed = self.urgent or self.refused is not None
        plain = {
            "fixed": is_fixed,
            "no_note": self.note_question is None and not is_fixed,
            "native": self.mode == "native",
        }
        filled = {
            name: {"reason": text.get(why, why), "note": why, "person": why}
            for name, why in about.items()
            if why is not None
        }
        return [
            *(said[name].format(**words) for name, words in filled.items()),
            *(said[name] for name, holds in plain.items() if holds),
            *(said[name].format(count=count) for name, count in counted.items() if count),
        ]


def why_of(
    reply: Reply,
    observations: Sequence[Observation],
    *,
    language: Language,
    personalised: bool = True,
    urgent: bool = False,
) -> Why:
    """Return why a reply is the way it is.

    Args:
        reply: What the assistant answered.
        observations: What was said and seen, as the gate was given it.
        language: The answer's; forms differ from one to the other.
        personalised: Whether the person let answers be fitted to them.
        urgent: Whether the question spoke of danger to life.
    """
    is_written = reply.drafts > 0
    told = list(reply.decision.told) if is_written else []
    return Why(
        observed=_observed(reply, observations, told, language),
        personalised=personalised,
        person=person_line(told) if is_written else None,
        mode=reply.mode,
        left_out=reply.left_out,
        note_id=reply.note_id,
        note_question=reply.note_question,
        replaced=reply.replaced,
        refused=reply.refused,
        urgent=urgent,
        added=reply.added,
        unsaid=reply.unsaid,
        note_cut=reply.note_cut,
        drafts=reply.drafts,
    )


def changes_of(
    seen: Observation, told: Sequence[Observation], language: Language
) -> tuple[str, ...]:
    """Return what something known of a person changes, by leaving it out.

    What only the page sees changes the page. Where nothing but a word of the prompt differs, it is
    the tone for an expression and how easy the words are for all else.
    """
    if seen.attribute in PAGE_ONLY:
        return (seen.attribute,)
    if seen not in told:
        return ()
    without = [one for one in told if one != seen]
    found = _form_changes(told, without, language)
    if seen.attribute == "expression":
        return ("tone",) if person_line(told) != person_line(without) else ()
    if not found and person_line(told) != person_line(without):
        found = {"reading_level"}
    return tuple(change for change in CHANGES if change in found)


def faded(why: Why) -> Why:
    """Return the same without the values of estimates, which are not kept beyond their turn."""
    observed = tuple(
        replace(one, value=None) if one.source == "estimated" else one for one in why.observed
    )
    is_estimated = any(one.passed and one.source == "estimated" for one in why.observed)
    return replace(why, observed=observed, person=None if is_estimated else why.person)


def say_known(attribute: str, value: str, language: Language) -> str:
    """Return something known of a person in words.

    >>> say_known("age_band", "older_adult", "fr")
    "tranche d'âge : personne âgée"
    """
    words, colon = _words(language), ":" if language == "en" else " :"
    return f"{words['attributes'][attribute]}{colon} {words['values'][value]}"


def _observed(
    reply: Reply,
    observations: Sequence[Observation],
    told: Sequence[Observation],
    language: Language,
) -> tuple[Observed, ...]:
    """Return each observation with what the gate, which keeps their order, made of it."""
    passed, withheld = list(reply.decision.passed), list(reply.decision.withheld)
    observed = []
    for seen in observations if passed or withheld else ():
        is_passed = bool(passed) and passed[0] == seen
        if is_passed:
            passed.pop(0)
        observed.append(
            Observed(
                attribute=seen.attribute,
                value=seen.value if is_passed else None,
                source=seen.source,
                confidence=seen.confidence,
                passed=is_passed,
                reason=None if is_passed else withheld.pop(0).reason,
                changed=changes_of(seen, told, language) if is_passed else (),
            )
        )
    return tuple(observed)


def _form_changes(
    told: Sequence[Observation], without: Sequence[Observation], language: Language
) -> set[str]:
    """Return in what the forms of two answers differ."""
    readers = reader_told(told), reader_told(without)
    one, other = (FORMS[language][reader] for reader in readers)
    bands = [READING_BANDS[language][reader] for reader in readers]
    differs = {
        "reading_level": bands[0] != bands[1] or one.sentence_words != other.sentence_words,
        "steps": one.steps != other.steps,
        "length": one.words != other.words,
    }
    return {change for change, is_so in differs.items() if is_so}


def percent_sure(confidence: float) -> int:
    """Return how sure an estimate is, in whole percent: never 100, since each can be wrong."""
    return min(99, round(100 * confidence))


def _say_observed(one: Observed, language: Language) -> str:
    words = _words(language)
    said, attribute = words["says"], words["attributes"][one.attribute]
    name = attribute[0].upper() + attribute[1:]
    if one.reason is not None:
        reason = say_reason(one.reason, language)
        return said[f"withheld_{one.source}"].format(attribute=name, reason=reason)
    kind = "gone" if one.value is None else one.source
    value = "" if one.value is None else words["values"][one.value]
    sure = f"{percent_sure(one.confidence)}{'%' if language == 'en' else ' %'}"
    known = said[kind].format(attribute=name, value=value, confidence=sure)
    if not one.changed:
        return f"{known} {said['unchanged']}"
    *others, last = (words["changes"][change] for change in one.changed)
    listed = said["and"].join([*([", ".join(others)] if others else []), last])
    return f"{known} {said['changed'].format(changes=listed)}"


@cache
def _words(language: Language) -> Mapping[str, Mapping[str, str]]:
    words = tomllib.loads(WORDS_PATH.read_text(encoding="utf-8"))
    tables: Mapping[str, Mapping[str, str]] = words[language]
    return tables
