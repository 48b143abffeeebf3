"""A visitor is erased everywhere, and what failed is told and gone on with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from discreet.consent import ConsentStore
from discreet.erasure import Line, Receipt, erase, erase_visit
from discreet.service import Visit
from tests.service.conftest import MARKERS, Kept, assistant, engine, kept, responder, visit

__all__ = ["assistant", "engine", "kept", "responder", "visit"]
AGE = "inform/age_band"
ASKED = f"What helps against {MARKERS[3]}?"
Begin = Callable[..., Visit]


def used(begin: Begin) -> Visit:
    """A visit of somebody who agreed, declared, asked, and is written down."""
    person = begin()
    person.declare("age_band", "older_adult")
    person.give([AGE])
    person.ask(ASKED).result(30)
    return person


def states(receipt: Receipt) -> dict[str, str]:
    return {line.store: line.state for line in receipt.lines}


def test_nothing_of_a_visitor_is_left_but_events_that_lead_nowhere(
    visit: Begin, kept: Kept, tmp_path: Path
) -> None:
    person, other = used(visit), used(visit)
    uploads = tmp_path / "uploads"
    (uploads / "deep").mkdir(parents=True)
    for path in (uploads / "photo.jpg", uploads / "deep" / "photo.png", tmp_path / "export.json"):
        path.write_bytes(b"a face")
    before, events = person.person, len(kept.journal.events())
    receipt = erase_visit(
        person,
        consents=kept.consents,
        journal=kept.journal,
        uploads=[uploads],
        exports=[tmp_path / "export.json", tmp_path / "never.json"],
    )
    found = {line.store: (line.found, line.erased) for line in receipt.lines}
    assert states(receipt) == {
        "session": "erased",
        "files": "erased",
        "exports": "erased",
        "consent": "erased",
        "journal": "erased",
        "events": "kept",
        "downloads": "kept",
    }
    assert (found["files"], found["exports"], found["consent"]) == ((2, 2), (1, 1), (1, 1))
    assert receipt.is_complete
    assert not uploads.exists()
    assert not (tmp_path / "export.json").exists()
    assert person.exchanges == ()
    assert person.person != before
    assert kept.consents.history(before) == ()
    assert kept.journal.of(before) == []
    assert len(kept.journal.events()) >= events
    assert kept.journal.verify().is_sound
    assert kept.consents.active(other.person), "others stay as they were"
    assert other.exchanges


def test_a_store_that_fails_is_named_and_the_same_call_goes_on(
    visit: Begin, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = used(visit)
    before = person.person
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"a face")

    def fail(self: ConsentStore, person: str) -> None:
        raise OSError("the disk is full, says Ada")

    def again() -> Receipt:
        return erase_visit(person, consents=kept.consents, journal=kept.journal, uploads=[photo])

    monkeypatch.setattr(ConsentStore, "erase", fail)
    receipt = again()
    assert states(receipt)["consent"] == "failed"
    assert states(receipt)["session"] == "kept"
    assert states(receipt)["files"] == "erased"
    assert not receipt.is_complete
    assert "Ada" not in receipt.in_words("en") + str(receipt.to_dict())
    assert person.exchanges == (), "the words are gone at once"
    assert person.person == before, "the id leads to what is left"
    monkeypatch.undo()
    receipt = again()
    assert receipt.is_complete
    assert states(receipt) | {"files": "absent"} == states(receipt)
    assert kept.consents.history(before) == ()
    assert erase_visit(person, consents=kept.consents, journal=kept.journal).is_complete


def test_a_link_is_removed_and_what_it_leads_to_is_left(
    visit: Begin, kept: Kept, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("of somebody else")
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (uploads / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "other").symlink_to(tmp_path / "elsewhere")
    receipt = erase_visit(
        visit(), consents=kept.consents, journal=kept.journal, uploads=[uploads, tmp_path / "other"]
    )
    assert receipt.is_complete
    assert (tmp_path / "elsewhere" / "file").exists()
    assert not uploads.exists()
    assert not (tmp_path / "other").is_symlink()


def test_every_store_is_asked_after_one_that_failed() -> None:
    asked: list[str] = []

    class Kept:
        def __init__(self, name: str) -> None:
            self.name = name

        def erase(self, person: str) -> Line:
            asked.append(self.name)
            if self.name == "second":
                raise PermissionError(person)
            return Line(store=self.name, found=1, erased=1)

    receipt = erase("a" * 32, [Kept("first"), Kept("second"), Kept("third")])
    assert asked == ["first", "second", "third"]
    assert [line.state for line in receipt.lines] == ["erased", "failed", "erased"]
