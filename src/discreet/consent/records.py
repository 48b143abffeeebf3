"""A person's answer to a notice as a record, in the shape of ISO/IEC TS 27560:2023.

The four sections of the specification (header, processing, parties, events) are said in JSON-LD
with the Data Privacy Vocabulary, after its guide to the specification (DPVCG 2024,
"Consent Records and Receipts as per ISO/IEC TS 27560:2023 using DPV"); `record.schema.json` says
what of it is always there. Nothing in a record says who the person is, what they said or what
they look like. What this is not: a proof against whoever keeps it, because nobody signs it.

    >>> from discreet.consent.notices import load_notice
    >>> noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    >>> record = ConsentRecord.answering(load_notice("education", "en"), ("explain/age_band",),
    ...     decision=GIVEN, pseudonym="00ff", method="button", time=noon)
    >>> record.active(noon), record.active(record.expires)
    (frozenset({'explain/age_band'}), frozenset())
    >>> record.to_jsonld()["dpv:hasConsentStatus"][0]["@type"]
    'dpv:ConsentGiven'
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from discreet.consent.notices import Notice
from discreet.types import Language

Decision = Literal["given", "refused"]
Method = Literal["button", "command", "request"]
"""How somebody answered: on a page, on the command line, or by the HTTP interface."""
GIVEN: Decision = "given"
REFUSED: Decision = "refused"
VALID = timedelta(hours=12)
"""How long a yes holds: a visit, not a day after. The notices say so."""
CONTROLLER = "whoever runs this program"
CONTEXT = {
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "loc": "https://w3id.org/dpv/loc#",
    "pd": "https://w3id.org/dpv/pd#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
}
"""Prefixes; written into each document, so that reading one needs no network."""
DECLARED = "declared"
"""What stands for the attribute where a guardian consents to all that a child says of itself."""
_PERSONAL_DATA = {
    "age_band": "pd:AgeRange",
    "expression": "pd:Demeanor",
    DECLARED: "pd:Demographic",
}
_STATUS = {GIVEN: "dpv:ConsentGiven", REFUSED: "dpv:ConsentRefused"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentRecord:
    """One answer, and what became of it."""

    id: str
    """A random UUID."""
    pseudonym: str = field(repr=False)
    """Keyed hash of a random id; another one for each key, so that it links nothing for long."""
    context: str
    names: tuple[str, ...]
    """What was asked, each `PURPOSE/ATTRIBUTE`."""
    decision: Decision
    notice_version: int
    notice_sha256: str
    """Of the text that was shown."""
    language: Language
    method: Method
    time: datetime
    """UTC, whole seconds."""
    expires: datetime
    """From when on a yes holds no more."""
    guardian: bool
    """Whether a guardian answered, together with the child."""
    withdrawn: Mapping[str, datetime] = field(default_factory=dict)
    """When which of the names was taken back."""

    @classmethod
    def answering(
        cls,
        notice: Notice,
        names: tuple[str, ...],
        *,
        decision: Decision,
        pseudonym: str,
        method: Method,
        time: datetime,
    ) -> "ConsentRecord":
        """Return a new record of an answer to a notice."""
        return cls(
            id=str(uuid.uuid4()),
            pseudonym=pseudonym,
            context=notice.context,
            names=names,
            decision=decision,
            notice_version=notice.version,
            notice_sha256=notice.sha256,
            language=notice.language,
            method=method,
            time=time,
            expires=time + VALID,
            guardian=notice.guardian,
        )

    def active(self, now: datetime) -> frozenset[str]:
        """Return what this record allows at a time."""
        if self.decision != GIVEN or now >= self.expires:
            return frozenset()
        return frozenset(self.names) - set(self.withdrawn)

    def without(self, names: frozenset[str], time: datetime) -> "ConsentRecord":
        """Return the record after names that it allows were taken back."""
        taken = names & self.active(time)
        return replace(self, withdrawn={**self.withdrawn, **dict.fromkeys(sorted(taken), time)})

    def to_bytes(self) -> bytes:
        """Return the record as JSON."""
        return json.dumps(asdict(self), default=datetime.isoformat).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "ConsentRecord":
        """Return the record that `to_bytes` wrote."""
        raw = json.loads(data)
        times = {name: datetime.fromisoformat(raw[name]) for name in ("time", "expires")}
        withdrawn = {name: datetime.fromisoformat(at) for name, at in raw["withdrawn"].items()}
        return cls(**{**raw, **times, "names": tuple(raw["names"]), "withdrawn": withdrawn})

    def to_jsonld(self, controller: str = CONTROLLER) -> dict[str, Any]:
        """Return the record in DPV's words; `controller` is who answers for the processing."""
        return {
            "@context": CONTEXT,
            "@id": f"urn:uuid:{self.id}",
            "@type": "dpv:ConsentRecord",
            "dct:identifier": self.id,
            "dct:conformsTo": "https://w3id.org/dpv/schema/dpv-27560#record",
            "dpv:hasDataSubject": {
                "@id": f"urn:discreet:pseudonym:{self.pseudonym}",
                "@type": "dpv:Child" if self.guardian else "dpv:DataSubject",
            },
            "dpv:hasDataController": controller,
            "dpv:hasJurisdiction": "loc:EU",
            "dpv:hasApplicableLaw": "eu-gdpr:GDPR",
            "dpv:hasLegalBasis": "eu-gdpr:A6-1-a",
            "dpv:hasNotice": self._notice(),
            "dpv:hasProcess": [_process(name, controller) for name in self.names],
            "dpv:hasConsentControl": {"@type": ["dpv:ProvideConsent", "dpv:WithdrawConsent"]},
            "dpv:hasRight": {"@type": ["dpv:DataSubjectRight", "eu-gdpr:A7-3"]},
            "dpv:hasConsentStatus": self._events(),
        }

    def _notice(self) -> dict[str, Any]:
        return {
            "@id": f"urn:sha256:{self.notice_sha256}",
            "@type": "dpv:ConsentNotice",
            "dct:hasVersion": str(self.notice_version),
            "dct:language": self.language,
        }

    def _events(self) -> list[dict[str, Any]]:
        """Return the answer, and each time at which something was taken back."""
        events = [self._event(_STATUS[self.decision], self.time, list(self.names))]
        if self.decision == GIVEN:
            until = {"@type": "dpv:UntilTimeDuration", "rdf:value": self.expires.isoformat()}
            events[0]["dpv:hasDuration"] = until
        for at in sorted(set(self.withdrawn.values())):
            names = [name for name in self.names if self.withdrawn.get(name) == at]
            events.append(self._event("dpv:ConsentWithdrawn", at, names))
        return events

    def _event(self, status: str, at: datetime, names: list[str]) -> dict[str, Any]:
        child = ["dpv:DataSubject", "dpv:GuardianOfDataSubject"]
        return {
            "@type": status,
            "dpv:isIndicatedAtTime": at.isoformat(),
            "dpv:isIndicatedBy": child if self.guardian else "dpv:DataSubject",
            "dpv:hasIndicationMethod": self.method,
            "dpv:hasProcess": [{"@id": _id_of(name)} for name in names],
        }


def whole_seconds(time: datetime) -> datetime:
    """Return a time in UTC without its fraction, which could link a record to other logs."""
    return time.astimezone(UTC).replace(microsecond=0)


def _process(name: str, controller: str) -> dict[str, Any]:
    """Return what is done under one name."""
    purpose, attribute = name.split("/")
    goals = ["dpv:ServicePersonalisation", "dpv:AcademicResearch"]
    return {
        "@id": _id_of(name),
        "@type": "dpv:Process",
        "dct:title": name,
        "dpv:hasPurpose": goals if purpose == "study" else goals[:1],
        "dpv:hasProcessing": "dpv:Use" if attribute == DECLARED else "dpv:Infer",
        "dpv:hasPersonalData": {
            "@type": _PERSONAL_DATA[attribute],
            "dpv:hasNecessity": "dpv:Optional",
            "dpv:hasDataSource": "dpv:DataSubjectDataSource",
        },
        "dpv:hasRecipient": controller,
        "dpv:hasStorageCondition": [
            {
                "@type": "dpv:StorageLocation",
                "dpv:hasLocation": "in memory, where the program runs",
            },
            {
                "@type": "dpv:StorageDuration",
                "dpv:hasDuration": {"@type": "dpv:UntilEventDuration", "rdf:value": "end of visit"},
            },
        ],
    }


def _id_of(name: str) -> str:
    return f"urn:discreet:consent:{name}"
