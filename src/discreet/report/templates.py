"""Templates of pages: words are escaped, what is missing is an error, nothing is loaded."""

from functools import cache
from importlib.resources import files
from math import log10

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from discreet.types import rounded_up


@cache
def environment() -> Environment:
    """Return what reads the templates of this folder."""
    found = Environment(
        loader=PackageLoader("discreet", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"epsilon": rounded_up, "size": size_in_words, "reasons": reasons}
    return found


def render(name: str, **values: object) -> Markup:
    """Return a part of a page, by the template of that name."""
    return Markup(environment().get_template(name).render(**values))


def in_shell(title: str, *parts: Markup) -> str:
    """Return a whole page: head, style for light, dark and paper, and the parts one by one."""
    style = files("discreet.report").joinpath("page.css").read_text(encoding="utf-8")
    return str(
        render("shell.html", title=title, style=Markup(style), body=Markup("\n").join(parts))
    )


def size_in_words(size_bytes: float) -> str:
    """Return a number of bytes with a unit, in powers of a thousand.

    >>> size_in_words(512), size_in_words(45_300_000), size_in_words(200e9)
    ('512 B', '45.3 MB', '200 GB')
    """
    place = min(3, int(log10(max(size_bytes, 1)) / 3))
    number = size_bytes / 1000**place
    digits = f"{number:.3g}" if number < 100 else f"{number:,.0f}"
    return f"{digits} {('B', 'kB', 'MB', 'GB')[place]}"


def reasons(dropped: dict[str, int]) -> str:
    """Return how many were dropped for which reason."""
    return ", ".join(f"{count} × {reason}" for reason, count in dropped.items())
