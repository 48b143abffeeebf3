"""What is asked: in both languages, in plain words, and as its version says."""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from discreet.consent import NOTICE_CONTEXTS, Notice, load_notice, notices
from discreet.consent.records import VALID
from discreet.consent.rows import EPOCH, KEPT
from discreet.errors import ArtifactCorrupt
from discreet.readers import in_band
from discreet.types import Language

LANGUAGES: tuple[Language, ...] = ("en", "fr")
ALL = [load_notice(context, language) for context in NOTICE_CONTEXTS for language in LANGUAGES]
ALL += [load_notice("healthcare", language, guardian=True) for language in LANGUAGES]
ASKING = [notice for notice in ALL if notice.items]


def name_of(notice: Notice) -> str:
    return f"{'guardian' if notice.guardian else notice.context}.{notice.language}"


@pytest.fixture
def own_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for path in notices.NOTICES_DIR.glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(notices, "NOTICES_DIR", tmp_path)
    load_notice.cache_clear()
    yield tmp_path
    load_notice.cache_clear()


@pytest.mark.parametrize("notice", ALL, ids=name_of)
def test_whoever_has_the_text_can_find_its_hash(notice: Notice) -> None:
    assert notice.sha256 == hashlib.sha256(notice.text.encode("utf-8")).hexdigest()
    assert notice.text.startswith(notice.title)
    assert all(item.title in notice.text and item.text in notice.text for item in notice.items)


@pytest.mark.parametrize("notice", ALL, ids=name_of)
def test_a_reader_of_ten_can_read_what_is_asked(notice: Notice) -> None:
    assert in_band(notice.text, "child", notice.language)


@pytest.mark.parametrize("context", NOTICE_CONTEXTS)
def test_both_languages_ask_the_same(context: str) -> None:
    assert load_notice(context, "en").names == load_notice(context, "fr").names


def test_at_school_and_at_work_nothing_is_asked_about_expressions() -> None:
    asked = load_notice("education", "en").names + load_notice("workplace", "en").names
    assert asked == ("explain/age_band",)


@pytest.mark.parametrize("notice", ASKING, ids=name_of)
def test_a_notice_says_that_a_no_costs_nothing_and_how_to_take_a_yes_back(notice: Notice) -> None:
    same = {"en": "get the same help|gets the same help", "fr": "la même( aide)?"}
    back = {"en": "take back a yes with one click", "fr": "reprendre un oui d'un clic"}
    assert re.search(same[notice.language], notice.text)
    assert back[notice.language] in notice.text


@pytest.mark.parametrize("notice", ASKING, ids=name_of)
def test_the_times_in_a_notice_are_those_of_the_code(notice: Notice) -> None:
    numbers = [int(number) for number in re.findall(r"\d+", notice.text)]
    hours, months = VALID.total_seconds() / 3600, (EPOCH + KEPT).days / 30
    assert numbers == ([hours] if notice.guardian else [hours, months])


def test_a_text_does_not_change_without_a_new_version(own_texts: Path) -> None:
    path, versions = own_texts / "home.en.toml", own_texts / "versions.toml"
    before = load_notice("home", "en")
    load_notice.cache_clear()
    path.write_text(path.read_text().replace("set it right", "fix it"))
    with pytest.raises(ArtifactCorrupt, match="as its version 1 has it") as refused:
        load_notice("home", "en")
    (new,) = re.findall("[0-9a-f]{64}", str(refused.value))
    text = versions.read_text().replace(before.sha256, f'{before.sha256}", "{new}')
    versions.write_text(text)
    after = load_notice("home", "en")
    assert (before.version, after.version, after.sha256) == (1, 2, new)
    assert len(tomllib.loads(text)["home.en"]) == 2


@pytest.mark.parametrize(("context", "language"), [("bank", "en"), ("home", "de"), ("", "en")])
def test_what_has_no_text_is_refused(context: str, language: Language) -> None:
    with pytest.raises(ValueError, match="Expected a"):
        load_notice(context, language)
