"""One document: a template filled with facts, each sentence with a number for its evidence.

A template calls `say` and `table` with the key of a fact, and can use what that fact holds and
nothing else: a sentence without evidence cannot be filled, and says instead what is to be run. What
only the people who answer for the system know is asked of them by `fill_in`.

    document = write_document("dpia", evidence, today=date(2026, 11, 22))
    document.missing[0].way             # 'discreet bench twins RUN --out RUN/audits/twins.json'
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt

from discreet import __version__
from discreet.documents.evidence import Fact, Findings, fact, origin_of, way_out
from discreet.documents.gathering import Evidence
from discreet.documents.wording import Words
from discreet.law import LAW_FILE, article
from discreet.readers import READING_BANDS, Reader, in_band, reading_ease, reading_grade
from discreet.types import Language

KINDS = ("dpia", "model_card", "data_card", "record_of_processing", "notice")
"""Documents there are; the name of the template, and of the file."""
_MARKUP = re.compile(r"([\\`*_\[\]<>#|~&]|^[-+=])")
"""What Markdown would act on, anywhere or where a line begins."""
_SAID_BY = (
    *("say", "tell", "table", "fill_in", "cite", "by_law"),
    *("reading_level", "open_points", "evidence"),
)
"""What a template may call; each is a method of `_Writing`."""
_EASIER = "discreet policy check FILE"
"""Shows the descriptions of a policy, the only part of a notice that is not ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Something that a document could not say."""

    label: str
    """What it is."""
    way: str | None
    """The command that finds it; None: there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A document as text; nothing of it is written yet."""

    kind: str
    """One of `KINDS`."""
    language: Language
    markdown: str
    missing: tuple[Missing, ...]

    @property
    def html(self) -> str:
        """The same as a page that needs no other file, no script and no network."""
        parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        tokens = parser.parse(self.markdown)
        for place, token in enumerate(tokens):
            if token.type == "heading_open":
                token.attrSet("id", _anchor(tokens[place + 1].content))
        page = files("discreet.documents").joinpath("page.html").read_text(encoding="utf-8")
        return (
            Environment(autoescape=True, undefined=StrictUndefined)
            .from_string(page)
            .render(
                language=self.language,
                title=self.markdown.partition("\n")[0].removeprefix("# "),
                body=_Safe(parser.renderer.render(tokens, parser.options, {})),
            )
        )


class _Safe(str):
    """HTML of our own renderer, which has escaped every word in it."""

    def __html__(self) -> str:
        return self


def write_document(kind: str, evidence: Evidence, *, today: date) -> Document:
    """Return a document that says what there is evidence for, and that the rest is missing.

    Raises:
        ValueError: if `kind` is none of `KINDS`.
    """
    if kind not in KINDS:
        raise ValueError(f"Expected a document of {', '.join(KINDS)}, got '{kind}'.")
    writing = _Writing(findings=evidence.findings, words=Words(evidence.language))
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.globals |= {name: getattr(writing, name) for name in _SAID_BY}
    environment.globals["about"] = _about(evidence, today)
    template = files("discreet.documents").joinpath("templates", evidence.language, f"{kind}.md")
    text = environment.from_string(template.read_text(encoding="utf-8")).render()
    return Document(
        kind=kind,
        language=evidence.language,
        markdown=re.sub(r"\n{3,}", "\n\n", text),
        missing=tuple(writing.missing),
    )


def escaped(text: str) -> str:
    r"""Return a text that Markdown shows as it is, on one line.

    >>> escaped("a_b\n<i>")
    'a\\_b \\<i\\>'
    """
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


@dataclass(kw_only=True, slots=True)
class _Writing:
    """A document while it is written: what it said, what was missing, and its evidence."""

    findings: Findings
    words: Words
    missing: list[Missing] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def say(self, key: str, label: str, text: str, none: str = "") -> str:
        """Return a labelled sentence for each fact of a key, or that they are missing."""
        if key not in self.findings:
            return self._absent(key, label)
        told = [self._told(one, text, none) for one in self.findings[key]]
        head = f"**{label}.**"
        return f"{head} {told[0]}" if len(told) == 1 else "\n- ".join([f"{head}\n", *told])

    def tell(self, key: str, label: str, text: str, none: str = "") -> str:
        """Return the same in running text: the label stands only where facts are missing."""
        if key not in self.findings:
            return self._absent(key, label)
        told = [self._told(one, text, none) for one in self.findings[key]]
        return told[0] if len(told) == 1 else "\n".join(f"- {one}" for one in told)

    def table(self, key: str, label: str, columns: Mapping[str, str], none: str = "") -> str:
        """Return a row for each fact of a key, with its evidence in the last column."""
        if key not in self.findings:
            return self._absent(key, label)
        if self.findings[key][0].values is None:
            return self.say(key, label, "", none)
        head = [*columns, self.words.term("evidence")]
        rows = [
            [*(_filled(text, one) for text in columns.values()), self._mark(one)]
            for one in self.findings[key]
        ]
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join([f"**{label}**", "", *("| " + " | ".join(line) + " |" for line in lines)])

    def fill_in(self, label: str, question: str) -> str:
        """Return a line that whoever answers for the system has to fill in."""
        return f"**{label}.** \\[ \\] *{self.words.term('to_fill_in')}{self._colon}* {question}"

    def cite(self, law_id: str) -> str:
        """Return an article of the law's table with its evidence."""
        return f"{self.words.citation(law_id)} {self.by_law(law_id)}"

    def by_law(self, law_id: str) -> str:
        """Return the number of an article, which is named in the list of evidence."""
        at = f"{self.words.citation(law_id)}, checked_on {article(law_id).checked_on}"
        return self._mark(fact(origin_of(LAW_FILE), at))

    def reading_level(self, name: str, text: str, reader: Reader) -> str:
        """Return how easy a part of this document is, beside what its reader needs."""
        language, plain = self.words.language, plain_text(text)
        value = reading_grade(plain) if language == "en" else reading_ease(plain)
        low, high = READING_BANDS[language][reader]
        is_easy = in_band(plain, reader, language)
        if not is_easy:
            self.missing.append(Missing(label=f"{name}: {self.words.term('is_hard')}", way=_EASIER))
        target = high if language == "en" else low
        verdict = self.words.term("is_easy" if is_easy else "is_hard")
        scale = self.words.term("scale").format(self.words.number(value), target)
        place = fact(origin_of(Path(__file__)), "reading_level")
        return f"**{name}.** {scale}{self._colon} {verdict}. {self._mark(place)}"

    def evidence(self) -> str:
        """Return the list of places that the numbers stand for."""
        return "\n".join(f"{number}. {place}" for number, place in enumerate(self.places, 1))

    def open_points(self) -> str:
        """Return what is missing so far, as a list."""
        lines = [f"- {one.label}{self._colon} {self._to_run(one.way)}" for one in self.missing]
        return "\n".join(lines) or self.words.term("nothing_missing")

    @property
    def _colon(self) -> str:
        return self.words.term("colon")

    def _told(self, one: Fact, text: str, none: str) -> str:
        sentence = none if one.values is None else _filled(text, one)
        return f"{sentence} {self._mark(one)}"

    def _mark(self, one: Fact) -> str:
        """Return the number of a fact's place, which is linked to the list of them."""
        commit = f", commit {one.origin.commit[:12]}" if one.origin.commit else ""
        place = f"`{one.origin.name}`{commit}, {escaped(one.at)} (SHA-256 {one.origin.sha256[:16]})"
        if place not in self.places:
            self.places.append(place)
        return f"[{self.places.index(place) + 1}](#{_anchor(self.words.term('evidence'))})"

    def _absent(self, key: str, label: str) -> str:
        gap = Missing(label=label, way=way_out(key))
        self.missing.append(gap)
        return f"**{label}.** {self._to_run(gap.way)}"

    def _to_run(self, way: str | None) -> str:
        if way is None:
            return self.words.term("not_measured_here")
        return f"{self.words.term('not_measured')} `{way}`"


def _about(evidence: Evidence, today: date) -> str:
    words, subject = Words(evidence.language), evidence.subject
    run, context = escaped(subject.run), words.term(subject.context)
    return words.term("about").format(run, context, today.isoformat(), __version__)


def plain_text(markdown: str) -> str:
    """Return the sentences of a part of a document: no headings, labels, marks or gaps."""
    lines = (line.removeprefix("- ") for line in markdown.splitlines())
    kept = " ".join(line for line in lines if not line.startswith(("#", "**")))
    return re.sub(r"\\(.)", r"\1", re.sub(r"\s*\[\d+\]\(#[^)]*\)", "", kept)).strip()


def _filled(text: str, one: Fact) -> str:
    values = {name: escaped(value) for name, value in (one.values or {}).items()}
    return text.format_map(values)


def _anchor(heading: str) -> str:
    """Return how Markdown readers call a heading in a link."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
