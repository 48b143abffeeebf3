"""Where a deployment is, as an option of the commands that answer people."""

from typing import Annotated

import typer

from discreet.assistant import countries


def _known(country: str | None) -> str | None:
    """Return a country in capitals, or say which ones there are."""
    if country is None or country.upper() in countries():
        return country and country.upper()
    raise typer.BadParameter(
        f"Expected two letters of a country whose emergency numbers are known, one of "
        f"{', '.join(countries())}, got something else. Leave it out elsewhere: then the texts say "
        "'your local emergency number'."
    )


Country = Annotated[
    str | None,
    typer.Option(
        callback=_known,
        metavar="XX",
        help="Where people are, in two letters (ISO 3166-1): whose emergency numbers are said, "
        "and whose age of consent the pages ask by. Without it nobody's number is supposed.",
    ),
]
