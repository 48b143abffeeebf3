"""What a person is asked before anything is estimated about them, in words, with version and hash.

The texts are data (`notices/`), one file for each context and language, with one item for each
estimate that needs a yes. What comes before and after the items is the same in all contexts, but
for guardians and at work. `versions.toml` lists the SHA-256 of each text that was ever shown, so
that no text changes without a new version. Knows nothing of policies: a test compares the names.

    >>> notice = load_notice("healthcare", "en")
    >>> notice.names
    ('inform/age_band', 'comfort/expression')
    >>> notice.sha256 == hashlib.sha256(notice.text.encode()).hexdigest()
    True
"""

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from discreet.errors import ArtifactCorrupt
from discreet.types import Language

NOTICES_DIR = Path(__file__).with_name("notices")
NOTICE_CONTEXTS = ("education", "healthcare", "home", "research", "workplace")
"""Contexts with a text of their own."""
_FOR_GUARDIANS = "guardian"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing that is asked, answered with yes or no on its own."""

    name: str
    """What the consent is called: `PURPOSE/ATTRIBUTE`."""
    title: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A whole text as it is shown."""

    context: str
    language: Language
    guardian: bool
    """Whether it is for a child's guardian, together with the child."""
    version: int
    """Counts from 1, for each context and language."""
    sha256: str
    """Of `text` in UTF-8, as 64 hex digits."""
    title: str
    before: str
    items: tuple[Item, ...]
    after: str

    @property
    def text(self) -> str:
        """The words of all parts, in the order in which they are shown."""
        parts = [self.title, self.before]
        parts += [f"{item.title}\n{item.text}" for item in self.items]
        return "\n\n".join(part for part in [*parts, self.after] if part)

    @property
    def names(self) -> tuple[str, ...]:
        """What is asked, by name."""
        return tuple(item.name for item in self.items)


@cache
def load_notice(context: str, language: Language, *, guardian: bool = False) -> Notice:
    """Return what is asked in a context, of the person or of a child's guardian.

    Raises:
        ValueError: if there is no text for the context or the language.
        ArtifactCorrupt: if the text is not the one that its version stands for.
    """
    if context not in NOTICE_CONTEXTS:
        raise ValueError(
            f"Expected a context in {', '.join(NOTICE_CONTEXTS)}, got another. Write its texts."
        )
    name = f"{_FOR_GUARDIANS if guardian else context}.{language}"
    path = NOTICES_DIR / f"{name}.toml"
    if not path.exists():
        raise ValueError("Expected a language that the texts are written in, got another.")
    raw = tomllib.loads((NOTICES_DIR / f"common.{language}.toml").read_text(encoding="utf-8"))
    raw |= tomllib.loads(path.read_text(encoding="utf-8"))
    versions = tomllib.loads((NOTICES_DIR / "versions.toml").read_text(encoding="utf-8"))[name]
    notice = Notice(
        context=context,
        language=language,
        guardian=guardian,
        version=len(versions),
        sha256=versions[-1],
        title=raw["title"],
        before=raw["before"].strip(),
        items=tuple(
            Item(name=name, title=item["title"], text=item["text"].strip())
            for name, item in raw["items"].items()
        ),
        after=raw["after"].strip(),
    )
    found = hashlib.sha256(notice.text.encode()).hexdigest()
    if found != notice.sha256:
        raise ArtifactCorrupt(
            f"Expected the text '{name}' as its version {notice.version} has it, got another with "
            f"the SHA-256 {found}. Restore it, or add that hash to versions.toml as a new version."
        )
    return notice
