"""For whom an answer is written, and whether a text is so written: by counting, without a judge."""

from discreet.readers.forms import FORMS, Form, count_steps, fits_reader, sentence_words
from discreet.readers.readability import (
    READING_BANDS,
    in_band,
    reading_ease,
    reading_grade,
    smog_grade,
)
from discreet.readers.reader import READERS, Reader, reader_of

__all__ = [
    "FORMS",
    "READERS",
    "READING_BANDS",
    "Form",
    "Reader",
    "count_steps",
    "fits_reader",
    "in_band",
    "reader_of",
    "reading_ease",
    "reading_grade",
    "sentence_words",
    "smog_grade",
]
