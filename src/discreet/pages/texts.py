"""The words of the pages, in each language; no other file of this room holds a sentence.

>>> load_texts("fr")["compose.send"]
'Demander'
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from discreet.types import Language

HERE = Path(__file__).parent
_TIGHT = re.compile(" (?=[?!:;»])|(?<=«) ")
"""Where French has a space at which no line may end."""
OTHER: dict[Language, Language] = {"en": "fr", "fr": "en"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """What the pages say in one language."""

    says: Mapping[str, str]
    """By `section.key`."""
    suggestions: Mapping[str, tuple[str, ...]]
    """Questions to begin with, by context; each is that of a note."""

    def __getitem__(self, name: str) -> str:
        """Return a text by `section.key`."""
        return self.says[name]


def load_texts(language: Language) -> Texts:
    """Return the texts of a language."""
    raw = tomllib.loads((HERE / f"texts.{language}.toml").read_text(encoding="utf-8"))
    suggestions = {context: tuple(lines) for context, lines in raw.pop("suggestions").items()}
    says = {
        f"{part}.{key}": _TIGHT.sub("\u00a0", text) if language == "fr" else text
        for part, keys in raw.items()
        for key, text in keys.items()
    }
    return Texts(says=MappingProxyType(says), suggestions=MappingProxyType(suggestions))
