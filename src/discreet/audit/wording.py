"""How names and numbers are said in the sentences and tables of audits.

>>> listed(["skin_tone", "age"]), signed(-0.00001), chance(0.0004)
('age, skin tone', '0.0000', '< 0.001')
"""

from collections.abc import Iterable


def named(label: str) -> str:
    """Return a label as a reader says it."""
    return label.replace("_", " ")


def listed(names: Iterable[str]) -> str:
    """Return names in their order, after each other."""
    return ", ".join(sorted(map(named, names)))


def signed(value: float) -> str:
    """Return a difference; what rounds to nothing has no sign."""
    return "0.0000" if abs(value) < 5e-5 else f"{value:+.4f}"


def chance(p: float) -> str:
    """Return a p-value; none is told as nought."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
