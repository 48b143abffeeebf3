"""Which models a visitor may switch between, and what each promises, in words and in numbers."""

from dataclasses import dataclass

from discreet.pages.texts import Texts
from discreet.registry import AdapterCard
from discreet.types import rounded_up, times_as_likely

BASE = "base"


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """The base, or the base with an adapter of the shelf."""

    name: str
    """What `Visit.ask` calls it."""
    card: AdapterCard | None = None
    """None for the base itself."""

    def title(self, texts: Texts) -> str:
        """Return how it is called on the page."""
        if self.card is None:
            return texts["privacy.base"]
        return texts["privacy.private" if self.card.worst else "privacy.federated"]

    def says(self, texts: Texts) -> tuple[str, tuple[str, ...]]:
        """Return what it promises: in words, and the four numbers that belong together."""
        if self.card is None:
            return texts["privacy.base_info"], ()
        spent = self.card.worst
        if spent is None:
            return texts["privacy.plain_info"], ()
        unit = texts[f"privacy.unit_{spent.unit}"]
        times = times_as_likely(spent)
        key = "privacy.private_info" if times else "privacy.private_empty"
        words = texts[key].format(unit=unit, times=times, delta=f"{spent.delta:g}")
        return words, (
            f"epsilon = {rounded_up(spent.epsilon)}",
            f"delta = {spent.delta:g}",
            texts["privacy.unit"].format(unit=unit),
            texts[f"privacy.{spent.neighbouring_relation}"].format(unit=unit),
        )
