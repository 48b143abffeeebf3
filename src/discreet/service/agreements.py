"""Consent over HTTP: what to show a person, what they agreed to, and the way back.

The app that talks with a person shows them the notice, and sends the hash of what it showed. The id
that comes back is the only link to them: it goes along with their questions, and is in no file.
"""

from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse, Response

from discreet.consent import Notice
from discreet.service import forms
from discreet.service.chat import Chats
from discreet.service.events import new_person
from discreet.service.shield import failure
from discreet.service.visit import Visit
from discreet.types import Language


@dataclass(frozen=True, slots=True)
class Agreements:
    """Consent for whoever the chats answer."""

    chats: Chats

    def notice(self, language: Language | None = None, guardian: bool = False) -> forms.ShownNotice:
        """Return what to show a person, or a child and its guardian, before they agree."""
        _, shown = self._visit(language, guardian)
        items = [forms.AgreedItem(name=i.name, title=i.title, text=i.text) for i in shown.items]
        return forms.ShownNotice(
            version=shown.version,
            language=shown.language,
            sha256=shown.sha256,
            text=shown.text,
            items=items,
        )

    def give(self, agreed: forms.Agreement) -> Response:
        """Keep what somebody agreed to, and return the id under which it holds."""
        visit, shown = self._visit(agreed.language, agreed.guardian)
        if agreed.notice_sha256 != shown.sha256:
            text = "Expected the hash of the notice as GET /v1/notice has it. Show that one."
            return failure(409, text, "notice_changed")
        visit.give(agreed.names)
        return _holds(visit.person, self.chats.consents.active(visit.person), 201)

    def _visit(self, language: Language | None, guardian: bool) -> tuple[Visit, Notice]:
        """Return the visit of somebody, or of a child, and what they are asked."""
        visit = self.chats.visit(language, person=new_person())
        visit.tell_age("child" if guardian else "adult")
        assert visit.notice is not None
        return visit, visit.notice

    def export(self, holder: forms.Holder) -> dict[str, Any]:
        """Return the records of what somebody agreed to."""
        visit = self.chats.visit(None, person=holder.id)
        records: dict[str, Any] = visit.export()["consent"]
        return records

    def withdraw(self, taken: forms.Withdrawal) -> Response:
        """Take back some of it, from the next question on."""
        visit = self.chats.visit(None, person=taken.id)
        visit.withdraw(taken.names)
        return _holds(taken.id, self.chats.consents.active(taken.id), 200)

    def erase(self, holder: forms.Holder) -> Response:
        """Forget somebody: their consent, and what links the journal to them."""
        self.chats.visit(None, person=holder.id).forget()
        return _holds(holder.id, frozenset(), 200)


def _holds(person: str, names: frozenset[str], status: int) -> Response:
    held = forms.Agreed(id=person, names=sorted(names))
    return JSONResponse(held.model_dump(), status)
