"""`discreet recipe`: make again the weights that ship with the package, one stage after another."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from discreet.cli.options import Json, progress, quiet_logs, show_json
from discreet.model import ERASER_PATH, PREFERENCES_PATH, PROJECTOR_PATH, TUNING_PATH
from discreet.perception import PERCEIVER_PATH
from discreet.recipes import (
    AlignSettings,
    EraserSettings,
    InstructSettings,
    PreferSettings,
    align_projector,
    fit_perceiver,
    read_settings,
    teach_eraser,
    teach_preferences,
    tune_language,
)

app = typer.Typer(
    add_completion=False,
    help="Make again the weights that ship with the package.",
    no_args_is_help=True,
)

SHIPPED = "the one in the package"
_Settings = TypeVar("_Settings")
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML with settings that differ from the defaults.")
]


@app.command("erase")
def erase(
    config: Config = None,
    out: Annotated[
        Path, typer.Option(help="Safetensors file to write.", show_default=SHIPPED)
    ] = ERASER_PATH,
    as_json: Json = False,
) -> None:
    """Teach the tower which bits of a picture to hand on; goes on where it was stopped."""
    settings = _settings(EraserSettings, config)
    card = _with_bar("erasing", lambda tell: teach_eraser(out, settings=settings, on_step=tell))
    show_json(card if as_json else card["held_out"])


@app.command("instruct")
def instruct(
    config: Config = None,
    out: Annotated[
        Path, typer.Option(help="Safetensors file to write.", show_default=SHIPPED)
    ] = TUNING_PATH,
    as_json: Json = False,
) -> None:
    """Tune the language model of `small` on the public questions; goes on where it was stopped."""
    settings = _settings(InstructSettings, config)
    card = _with_bar("tuning", lambda tell: tune_language(out, settings=settings, on_step=tell))
    show_json(card if as_json else card["held_out_loss"])


@app.command("prefer")
def prefer(
    config: Config = None,
    out: Annotated[
        Path, typer.Option(help="Safetensors file to write.", show_default="beside the tuning")
    ] = PREFERENCES_PATH,
    as_json: Json = False,
) -> None:
    """Teach the tuned model which answers respect the reader; goes on where it was stopped."""
    settings = _settings(PreferSettings, config)
    card = _with_bar(
        "preferring", lambda tell: teach_preferences(out, settings=settings, on_step=tell)
    )
    show_json(card if as_json else card["held_out"])


@app.command("align")
def align(
    config: Config = None,
    out: Annotated[
        Path, typer.Option(help="Safetensors file to write.", show_default=SHIPPED)
    ] = PROJECTOR_PATH,
    as_json: Json = False,
) -> None:
    """Train the projector of `small` on the train people; goes on where it was stopped."""
    settings = _settings(AlignSettings, config)
    card = _with_bar("aligning", lambda tell: align_projector(out, settings=settings, on_step=tell))
    show_json(card if as_json else card["held_out"])


@app.command("perceive")
def perceive(
    out: Annotated[
        Path, typer.Option(help="Safetensors file to write.", show_default=SHIPPED)
    ] = PERCEIVER_PATH,
    as_json: Json = False,
) -> None:
    """Fit and calibrate the perceiver's heads; print their scores on held-out people."""
    card = fit_perceiver(out)
    show_json(card if as_json else card["heads"])


def _settings(kind: type[_Settings], config: Path | None) -> _Settings:
    """Return the defaults of a stage, or what a file changes of them."""
    return kind() if config is None else read_settings(kind, config)


def _with_bar(
    doing: str, stage: Callable[[Callable[[int, int, float], None]], dict[str, Any]]
) -> dict[str, Any]:
    """Return what a stage returns, drawing its steps and losses meanwhile."""
    quiet_logs()
    with progress() as bar:
        row = bar.add_task(doing, total=None)

        def tell(step: int, steps: int, loss: float) -> None:
            bar.update(row, completed=step, total=steps, description=f"{doing}, loss {loss:.3f}")

        return stage(tell)
