"""Impact assessment, cards, record and notice, each sentence from evidence or shown as missing."""

from discreet.documents.document import KINDS, Document, Missing, write_document
from discreet.documents.evidence import Fact, Findings, Origin
from discreet.documents.of_measures import Subject, facts_of_results, measures
from discreet.documents.of_run import facts_of_run
from discreet.documents.wording import Words

__all__ = [
    "KINDS",
    "Document",
    "Fact",
    "Findings",
    "Missing",
    "Origin",
    "Subject",
    "Words",
    "facts_of_results",
    "facts_of_run",
    "measures",
    "write_document",
]
