"""What the pages show of a visit, as escaped HTML; no decision is made here.

Templates are in `templates/`, words in `texts.*.toml`. Braces and dollars are written as entities,
because Gradio reads both as a template's own.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from discreet.assistant import (
    Card,
    Exchange,
    Observed,
    numbers_of,
    percent_sure,
    say_reason,
    whom_to_call,
)
from discreet.consent import ask_age
from discreet.erasure import Receipt
from discreet.pages.texts import OTHER, Texts
from discreet.service import Visit
from discreet.types import AGE_BANDS, Domain, Language

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
YOUTH = "youth"
"""What a minor who consents alone chooses; it is no band, and nothing fits an answer to it."""
_ASKED_BY: dict[Language, str] = {"en": "", "fr": "FR"}
"""Whose age of consent the page asks by where nobody said; the numbers suppose no country."""
_STEP = re.compile(r" (?=\d\. [^\W\d_])")
"""Before the number of a step."""
_LIVE = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Now:
    """The turn that is being answered."""

    question: str
    text: str
    place: int

    @property
    def paragraphs(self) -> list[str]:
        """What was said so far."""
        return _paragraphs(self.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One demo in one language, as HTML."""

    context: Domain
    language: Language
    texts: Texts
    people: tuple[str, ...]
    """`data:` addresses of portraits of people who do not exist."""
    country: str = ""
    """Whose numbers the page says and whose age of consent it asks by; empty if nobody said."""

    @property
    def ages(self) -> tuple[tuple[str, str], ...]:
        """What somebody may say of their age: the words, and a band or a standing."""
        asked_by = self.country or _ASKED_BY[self.language]
        spans = ask_age(asked_by, self.language).spans[:2]
        young = tuple((span.text[:1].upper() + span.text[1:], span.standing) for span in spans)
        adults = [band for band in AGE_BANDS if band != "child"]
        return (*young, *((self.texts[f"about.{band}"], band) for band in adults))

    def young(self, visit: Visit) -> str:
        """Return what holds for somebody young, kindly."""
        key = "about.child_note" if visit.protection.guardian else "about.youth_note"
        return _entities(f"<p>{self._filled(key)}</p>")

    def top(self) -> str:
        """Return the header."""
        return self._fill("top", language=self.language, other=OTHER[self.language])

    def talk(
        self,
        visit: Visit | None,
        now: Now | None = None,
        before: int | None = None,
        *,
        offers: bool = False,
    ) -> str:
        """Return the conversation, or what there is before it; `before` leaves out later turns.

        With `offers`, whoever was guessed to be an older adult is offered large text.
        """
        exchanges = () if visit is None else visit.exchanges[:before]
        return self._fill(
            "talk",
            exchanges=[self._turn(exchange) for exchange in exchanges],
            now=now,
            offered=offers and bool(exchanges) and _looks_older(exchanges[-1]),
            suggestions=self.texts.suggestions[self.context],
            people=self.people[1:4:2],
        )

    def status(self, key: str, **values: object) -> str:
        """Return a line about what goes on."""
        return _entities(self._filled(key, **values))

    def said(self, text: str) -> str:
        """Return an answer for those who hear the page."""
        ready = self.texts["talk.ready"].format(text=text)
        return _entities(f'<span class="unseen">{_escape(ready)}</span>')

    def camera(self) -> str:
        """Return camera, photo and people who do not exist."""
        return self._fill("camera", people=self.people)

    def disclosure(self, visit: Visit) -> str:
        """Return what somebody reads before any picture is taken, word for word as it is kept."""
        return self._fill(
            "disclosure",
            notice=visit.notice,
            allowed=bool(visit.consented),
            may_look=visit.protection.estimates,
        )

    def why(self, exchange: Exchange | None) -> str:
        """Return what an answer was fitted to."""
        turn = None if exchange is None else self._turn(exchange)
        return self._fill(
            "why", turn=turn, bands=[(b, said) for said, b in self.ages if b in AGE_BANDS]
        )

    def stored(self, visit: Visit) -> str:
        """Return what is stored, and what was allowed."""
        items = visit.notice.items if visit.notice else ()
        given = [item.title for item in items if item.name in visit.consented]
        return self._fill("stored", given=given)

    def receipt(self, receipt: Receipt) -> str:
        """Return what was erased where, what was kept and why, and what to do about the rest."""
        key = "privacy.forgotten" if receipt.is_complete else "privacy.not_forgotten"
        way_out = "" if receipt.is_complete else self.texts["privacy.not_forgotten_out"]
        rows = receipt.rows(self.language)
        return self._fill("receipt", title=self.texts[key], lines=rows, text="", way_out=way_out)

    def person(self) -> str:
        """Return whom to ask, and whom to call in danger."""
        called = whom_to_call(self.language, self.country)
        says = [
            self._filled(f"privacy.{self.context}_person"),
            self._filled("privacy.danger", called=called),
        ]
        if numbers_of(self.country) is None:
            says.append(self._filled("privacy.danger_anywhere"))
        return _entities(f"<h4>{self._filled('privacy.person')}</h4><p>{' '.join(says)}</p>")

    def card(self, card: Card) -> str:
        """Return whom to go to."""
        return self._fill("card", lines=card.in_words().splitlines())

    def export(self, record: Mapping[str, Any]) -> str:
        """Return a copy of what there is about somebody."""
        text = json.dumps(record, indent=2, ensure_ascii=False, default=str)
        return self._fill(
            "receipt", title=self.texts["privacy.export"], lines=(), text=text, way_out=""
        )

    def model(self, words: str, numbers: Sequence[str]) -> str:
        """Return which model answers, in words and in numbers."""
        return self._fill("model", words=words, numbers=numbers)

    def _turn(self, exchange: Exchange) -> dict[str, Any]:
        note = exchange.reply.note_question
        return {
            "question": exchange.question,
            "paragraphs": _paragraphs(exchange.reply.text),
            "fitted": self._fitted(exchange),
            "picture": exchange.why.picture_in_words(self.language),
            "seen": [self._seen(seen) for seen in exchange.why.observed],
            "note": self.texts["why.note"].format(note=note) if note else self.texts["why.no_note"],
        }

    def _fitted(self, exchange: Exchange) -> str:
        """Return in one line for whom an answer was written."""
        t = self.texts
        used = [seen for seen in exchange.why.observed if seen.passed]
        changed = [seen for seen in used if seen.changed]
        for seen in changed:
            if seen.attribute == "age_band" and seen.value is not None:
                return t[f"talk.for_{seen.value}"] + t[f"talk.{seen.source}_tail"]
        key = "for_more" if changed else "for_same" if used else "for_nobody"
        return t[f"talk.{key}"]

    def _seen(self, seen: Observed) -> dict[str, Any]:
        t = self.texts
        says = t[f"why.{seen.source}"]
        if seen.source == "estimated" and seen.passed:
            says += ", " + t["why.confidence"].format(percent=percent_sure(seen.confidence))
        if seen.reason is not None:
            says += t["why.because"].format(reason=say_reason(seen.reason, self.language))
        changes = ", ".join(t[f"why.{change}"] for change in seen.changed)
        return {
            "attribute": seen.attribute,
            "name": t[f"why.{seen.attribute}"],
            "named": self._named(seen),
            "passed": seen.passed,
            "says": says + ".",
            "effect": t["why.changed"].format(changes=changes) if changes else t["why.unchanged"],
        }

    def _named(self, seen: Observed) -> str:
        """Return what was known, with its value while there is one."""
        name = self.texts[f"why.{seen.attribute}"]
        if seen.value is None:
            return name
        known = self.texts.says
        value = known.get(f"about.{seen.value}") or known.get(f"why.{seen.value}") or seen.value
        return self.texts["why.named"].format(name=name, value=value)

    def _filled(self, key: str, **values: object) -> str:
        return _escape(self.texts[key].format(**values) if values else self.texts[key])

    def _fill(self, template: str, **values: Any) -> str:
        shown = _TEMPLATES.get_template(f"{template}.html")
        return _entities(shown.render(t=self.texts, context=self.context, **values))


def _looks_older(exchange: Exchange) -> bool:
    """Return whether an answer was written for an older adult, as a picture was read."""
    return any(
        seen.passed and seen.source == "estimated" and seen.value == "older_adult"
        for seen in exchange.why.observed
    )


def _paragraphs(text: str) -> list[str]:
    """Return the lines of an answer; each step of it is one."""
    return [line for line in _STEP.sub("\n", text).splitlines() if line.strip()]


def _escape(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))


def _entities(html: str) -> str:
    return html.translate(_LIVE)
