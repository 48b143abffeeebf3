"""Impact assessment, cards, record and notice, each sentence from evidence or shown as missing."""

from discreet.documents.document import KINDS, Document, Missing, write_document
from discreet.documents.evidence import Fact, Findings, Origin
from discreet.documents.gathering import Evidence, gather
from discreet.documents.of_measures import Subject

__all__ = [
    "KINDS",
    "Document",
    "Evidence",
    "Fact",
    "Findings",
    "Missing",
    "Origin",
    "Subject",
    "gather",
    "write_document",
]
