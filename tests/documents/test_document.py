"""No sentence without evidence, nothing invented, and what is missing is said."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from typing import get_args

import pytest

from discreet.assistant import load_policy
from discreet.documents import KINDS, Evidence, Fact, Origin, document
from discreet.documents.evidence import WAYS, way_out
from discreet.documents.of_policy import facts_of_policy
from discreet.documents.wording import Words
from discreet.types import Language
from tests.documents.conftest import shipped, write

LANGUAGES: tuple[Language, ...] = get_args(Language)
CONTEXTS = ("healthcare", "education", "workplace", "research", "home")
CALL = re.compile(r"\{\{ (\w+)\(\"([^\"]+)\"", re.S)
MARK = re.compile(r"\[(\d+)\]\(#\w+\)")


def template(kind: str, language: Language) -> str:
    folder = files("discreet.documents").joinpath("templates", language)
    return folder.joinpath(f"{kind}.md").read_text(encoding="utf-8")


def keys_of(kind: str) -> list[str]:
    said = CALL.findall(template(kind, "en"))
    return list(dict.fromkeys(key for call, key in said if call in ("say", "tell", "table")))


def without(evidence: Evidence, key: str) -> Evidence:
    left = {name: facts for name, facts in evidence.findings.items() if name != key}
    return replace(evidence, findings=left)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_evidence_that_is_taken_away_is_said_to_be_missing(
    kind: str, language: Language
) -> None:
    whole = shipped("healthcare", language)
    before = write(kind, whole)
    for key in keys_of(kind):
        uses = len(re.findall(rf'\("{re.escape(key)}"', template(kind, language)))
        after = write(kind, without(whole, key))
        there = key in whole.findings
        assert len(after.missing) == len(before.missing) + uses * there, key
        way = way_out(key)
        told = f"`{way}`" if way else Words(language).term("not_measured_here")
        assert after.markdown.count(told) == before.markdown.count(told) + 2 * uses * there, key
        for fact in whole.findings.get(key, ()):
            alone = not any(fact in facts for k, facts in whole.findings.items() if k != key)
            for value in (fact.values or {}).values():
                if alone and len(value) > 24 and document.escaped(value) in after.markdown:
                    kept = [k for k, f in whole.findings.items() if k != key and value in str(f)]
                    assert kept, f"{value} of {key} is still said"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_with_no_evidence_at_all_nothing_is_said(kind: str, language: Language) -> None:
    nothing = replace(shipped("healthcare", language), findings={})
    written = write(kind, nothing)
    calls = [call for call, _ in CALL.findall(template(kind, language))]
    assert len(written.missing) >= sum(call in ("say", "tell", "table") for call in calls)
    only_law = {line for line in written.markdown.splitlines() if re.match(r"\d+\. `", line)}
    assert all("law.toml" in line or "document.py" in line for line in only_law)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_sentence_has_a_mark_or_a_gap(kind: str, language: Language) -> None:
    words = Words(language)
    own = re.sub(r"\{[{%].*?[%}]\}", "", template(kind, language), flags=re.S)
    prose = {line.strip() for line in own.splitlines()}
    told = ("not_measured", "not_measured_here", "to_fill_in", "nothing_missing")
    gaps = [words.term(name) for name in told]
    lines = write(kind, shipped("education", language)).markdown.splitlines()[3:]
    for line in lines[: lines.index(f"## {words.term('evidence')}")]:
        is_frame = not line or line.startswith(("#", "| ---")) or re.fullmatch(r"\*\*.*\*\*", line)
        is_head = line.startswith("| ") and line.endswith(f" {words.term('evidence')} |")
        if is_frame or is_head or re.fullmatch(r"\*\*[^*]*\.\*\*", line) or line in prose:
            continue
        assert MARK.search(line) or any(gap in line for gap in gaps), line


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_templates_hold_no_number_and_no_article_of_their_own(
    kind: str, language: Language
) -> None:
    own = re.sub(r"\{\{ (?:cite|by_law)\(.*?\) \}\}", "", template(kind, language))
    own = re.sub(r"^#+ [\d.]* ?", "", own, flags=re.M).replace("Mitchell et al. 2019", "")
    own = re.sub(r"SHA-256|sha256|Activit[yé] [12]|gdpr[-\d]+", "", own)
    assert not re.findall(r"\d|\bArt\.|GDPR|RGPD", own)


@pytest.mark.parametrize("kind", KINDS)
def test_both_languages_say_the_same_in_the_same_order(kind: str) -> None:
    said = {
        language: [
            (call, key)
            for call, key in CALL.findall(template(kind, language))
            if call not in ("fill_in", "reading_level")
        ]
        for language in LANGUAGES
    }
    assert said["en"] == said["fr"]
    slots = {language: re.findall(r"\{(\w+)\}", template(kind, language)) for language in LANGUAGES}
    assert sorted(slots["en"]) == sorted(slots["fr"])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_mark_names_a_place_with_the_hash_of_its_file(kind: str, language: Language) -> None:
    evidence = shipped("healthcare", language)
    text = write(kind, evidence).markdown
    places = re.findall(r"^(\d+)\. `(.*?)`.*\(SHA-256 (\w{16})\)$", text, flags=re.M)
    assert {int(n) for n in MARK.findall(text)} == {int(number) for number, _, _ in places}
    known = {
        (fact.origin.name, fact.origin.sha256[:16])
        for facts in evidence.findings.values()
        for fact in facts
    }
    ours = {"law.toml", "document.py"}
    assert all((name, digest) in known or name in ours for _, name, digest in places)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_epsilon_is_never_without_delta_unit_and_relation(kind: str, language: Language) -> None:
    text = write(kind, shipped("healthcare", language)).markdown.partition("\n1. `")[0]
    whole = r"epsilon = [\d.,]+ \w+ delta = \S+ \(\w+ ?: \w+, \w+ ?: [\w\\]+\)"
    assert len(re.findall("epsilon", text)) == len(re.findall(whole, text))
    if kind in ("dpia", "model_card"):
        assert "epsilon" in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("context", CONTEXTS)
def test_the_notice_is_as_easy_as_its_target_asks(context: str, language: Language) -> None:
    notice = write("notice", shipped(context, language))
    words = Words(language)
    assert notice.markdown.count(words.term("is_easy")) == 2
    assert not any(words.term("is_hard") in gap.label for gap in notice.missing)


def test_a_notice_that_is_too_hard_says_so() -> None:
    evidence = shipped("healthcare", "en")
    policy = load_policy("healthcare")
    hard = "Individualised dissemination of epidemiological information notwithstanding the "
    hard += "heterogeneous characteristics of institutionalised populations in jurisdictions "
    hard *= 8
    one = policy.purposes["inform"]
    changed = replace(one, description={"en": hard, "fr": hard})
    worse = replace(policy, purposes={**policy.purposes, "inform": changed})
    found = evidence.findings | facts_of_policy(worse, Words("en"))
    notice = write("notice", replace(evidence, findings=found))
    assert notice.markdown.count("inside its target") == 1
    assert any("outside its target" in gap.label for gap in notice.missing)


def test_words_from_files_are_shown_and_never_acted_on() -> None:
    evil = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](http://z) | `a` **b** {{ 7*7 }}"
    origin = Origin(name="card.json", sha256="0" * 64)
    bad = (Fact(values={"licence": evil}, origin=origin, at=evil),)
    evidence = shipped("healthcare", "en")
    written = write("model_card", replace(evidence, findings={"card.licence": bad}))
    page = Page(written.html)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert page.links <= {"#evidence"}
    assert evil in page.words


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_needs_nothing_else_and_its_links_lead_somewhere(
    kind: str, language: Language
) -> None:
    page = Page(write(kind, shipped("healthcare", language)).html)
    assert {"script", "link", "img", "iframe", "form"}.isdisjoint(page.tags)
    assert page.attributes[("html", "lang")] == language
    assert page.tags.count("h1") == 1
    assert page.links
    assert {link.removeprefix("#") for link in page.links} <= page.ids


def test_another_document_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected a document of dpia"):
        write("poem", shipped("healthcare", "en"))


def test_every_key_of_a_template_has_a_way_and_every_way_a_key() -> None:
    keys = {key for kind in KINDS for key in keys_of(kind)}
    assert {key.partition(".")[0] for key in keys} == set(WAYS)
    with pytest.raises(ValueError, match="Expected a key of adapt"):
        way_out("nonsense.key")


class Page(HTMLParser):
    """Elements, attributes, links and words of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[tuple[str, str], str | None] = {}
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes[tag, name] = value
            if name in ("href", "src"):
                self.links.add(value or "")
            if name == "id":
                self.ids.add(value or "")

    def handle_data(self, data: str) -> None:
        self.words += data
