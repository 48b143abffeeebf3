"""`discreet recipe`: make again the weights that ship with the package."""

from pathlib import Path
from typing import Annotated

import typer

from discreet.cli.options import Json, progress, show_json
from discreet.model import PROJECTOR_PATH
from discreet.perception import PERCEIVER_PATH
from discreet.recipes import AlignSettings, align_projector, fit_perceiver

app = typer.Typer(help="Make again the weights that ship with the package.", no_args_is_help=True)

SHIPPED = "the one in the package"


@app.command("align")
def align(
    out: Annotated[
        Path, typer.Option(help="Safetensors file to write.", show_default=SHIPPED)
    ] = PROJECTOR_PATH,
    seed: Annotated[int, typer.Option(help="Of the fit.")] = 0,
    as_json: Json = False,
) -> None:
    """Train the projector of `small` on the train people."""
    with progress() as bar:
        row = bar.add_task("aligning", total=None)
        card = align_projector(
            out,
            settings=AlignSettings(seed=seed),
            on_step=lambda step, steps, loss: bar.update(
                row, completed=step, total=steps, description=f"aligning, loss {loss:.3f}"
            ),
        )
    show_json(card if as_json else card["held_out"])


@app.command("perceive")
def perceive(
    out: Annotated[
        Path, typer.Option(help="Safetensors file to write.", show_default=SHIPPED)
    ] = PERCEIVER_PATH,
) -> None:
    """Fit and calibrate the perceiver's heads; print their scores on held-out people."""
    show_json(fit_perceiver(out)["heads"])
