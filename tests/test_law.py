"""Articles are named in one file, complete, and found by what the rest calls them."""

import re
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest

from discreet.law import LAW_FILE, Article, article, cite, consent_age, load_law

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"\bArt(?:\.|icle) ?\d|\bAnnex [IVX]+\b|\bRecital \d")


def test_every_article_is_complete() -> None:
    for one in load_law():
        for field in fields(Article):
            if field.name not in ("unsure", "is_legal_basis"):
                assert getattr(one, field.name), (one.id, field.name)
        assert re.fullmatch(r"[a-z0-9-]+", one.id)
        assert isinstance(one.in_force, date)
        assert isinstance(one.checked_on, date)
        assert len(one.asks) <= 250, "one or two sentences"
        assert "://" not in one.source, "the name of a publication"


def test_an_id_is_of_one_article_and_a_citation_too() -> None:
    ids = [one.id for one in load_law()]
    assert len(set(ids)) == len(ids)
    assert len({cite(id_) for id_ in ids}) == len(ids)


@pytest.mark.parametrize(
    ("id_", "citation", "in_force"),
    [
        ("ai-act-5-1-f", "EU AI Act, Art. 5(1)(f)", date(2025, 2, 2)),
        ("ai-act-50-1", "EU AI Act, Art. 50(1)", date(2026, 8, 2)),
        ("ai-act-annex-3-1-b", "EU AI Act, Annex III(1)(b)", date(2027, 12, 2)),
        ("gdpr-6-1-a", "GDPR, Art. 6(1)(a)", date(2018, 5, 25)),
    ],
)
def test_an_article_is_cited_as_the_act_numbers_it(id_: str, citation: str, in_force: date) -> None:
    assert cite(id_) == citation
    assert article(id_).in_force == in_force


def test_a_legal_basis_is_a_point_of_one_of_two_articles() -> None:
    bases = {one.id for one in load_law() if one.is_legal_basis}
    assert bases == {"gdpr-6-1-a", "gdpr-6-1-f", "gdpr-9-2-a"}
    assert all(re.fullmatch("gdpr-(6-1-[a-f]|9-2-[a-j])", name) for name in bases)


def test_an_unknown_article_is_refused() -> None:
    with pytest.raises(ValueError, match="discreet law"):
        article("ai-act-5-1-z")
    with pytest.raises(ValueError, match="discreet law"):
        cite("")


def test_the_age_of_consent_is_that_of_the_country_or_the_highest() -> None:
    assert [consent_age(country) for country in ("FR", "fr", "ES", "DE", "US", "")] == [
        *(15, 15, 14),
        *(16, 16, 16),
    ]
    every = {consent_age(a + b) for a in map(chr, range(65, 91)) for b in map(chr, range(65, 91))}
    assert every == {13, 14, 15, 16}, "the bounds that the regulation sets"


def test_no_other_file_of_the_package_names_an_article() -> None:
    """What changes in an act has to be changed in one place."""
    assert NAMED.search(LAW_FILE.read_text(encoding="utf-8")), "the pattern finds what it seeks"
    texts = {".py", ".toml", ".md", ".html", ".jinja", ".css", ".js"}
    folders = [ROOT / name for name in ("src", "clients", "server", "demos")]
    naming = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in texts and path != LAW_FILE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if NAMED.search(line)
    ]
    assert naming == []
