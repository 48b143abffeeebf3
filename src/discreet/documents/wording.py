"""How values are said in a language: terms, shares, intervals, citations.

Terms lie in `words.toml`. What has no term there, as a label of somebody's data, is said as it is.

    >>> Words("fr").share(0.925), Words("en").share(0.925), Words("en").term("age_band")
    ('92,5 %', '92.5 %', 'age group')
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from discreet.law import article
from discreet.types import Language


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language."""

    language: Language

    def term(self, name: object) -> str:
        """Return how a name of the code is said; one without a term, as it is."""
        if isinstance(name, bool):
            name = "yes" if name else "no"
        return _terms(self.language).get(str(name), str(name))

    def terms(self, names: Iterable[object]) -> str:
        """Return several of them after each other; a dash for none."""
        return ", ".join(self.term(name) for name in names) or "-"

    def number(self, value: float, digits: int = 1) -> str:
        """Return a number with so many decimals, none where it is whole."""
        text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"
        return text.replace(".", ",") if self.language == "fr" else text

    def share(self, value: float) -> str:
        """Return a share in [0, 1] as a percentage."""
        return f"{self.number(100 * value)} %"

    def interval(self, found: Mapping[str, Any]) -> str:
        """Return a measured share with its 95 % interval.

        Args:
            found: `value`, `low` and `high`, as the benchmarks write them.
        """
        ends = f"{self.share(found['low'])} {self.term('to')} {self.share(found['high'])}"
        return f"{self.share(found['value'])} ({self.term('interval')} {ends})"

    def citation(self, law_id: str) -> str:
        """Return act and article of the law's table, as this language calls the act."""
        found = article(law_id)
        where = " ".join(self.term(word) for word in found.article.split(" "))
        return f"{self.term(found.act)}, {where}"


@cache
def _terms(language: Language) -> dict[str, str]:
    text = files("discreet.documents").joinpath("words.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)[language])
