"""For whom an answer is written: one of five readers, who follow from age band and expression.

>>> reader_of("healthcare", "young_adult", "sad"), reader_of("tutoring", "young_adult", "sad")
('distressed', 'young_adult')
"""

from typing import Literal

from discreet.types import ADULTS, AGE_BANDS, DISTRESSED, AgeBand, Domain, Expression

Reader = AgeBand | Literal["distressed"]
"""Whom an answer is written for."""
READERS: tuple[Reader, ...] = (*AGE_BANDS, "distressed")


def reader_of(domain: Domain, band: AgeBand, expression: Expression | None = None) -> Reader:
    """Return for whom an answer is written: adults who look upset, in healthcare, for that."""
    is_upset = domain == "healthcare" and expression in DISTRESSED
    return "distressed" if is_upset and band in ADULTS else band
