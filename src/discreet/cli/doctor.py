"""`discreet doctor` and `discreet version`: what is installed and whether it works."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from click.core import ParameterSource

from discreet import __version__
from discreet.cli.options import Cache, Json, show_json, talk

Private = Annotated[
    bool,
    typer.Option("--private", help="Check that private training of a model keeps its promise."),
]
Model = Annotated[
    str,
    typer.Option(
        help="Check a base: small, tiny, or a folder with a local checkpoint; nothing is "
        "downloaded."
    ),
]
Parts = Annotated[
    str,
    typer.Option(help="With --private: where LoRA is put, of language, vision and connector."),
]
Trials = Annotated[
    int, typer.Option(help="With --private: neighbouring batches for each way of clipping.")
]
_OF_PRIVATE = ("parts", "trials")
"""Options that mean something with --private only."""


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def doctor(
    context: typer.Context,
    cache: Cache = None,
    as_json: Json = False,
    private: Private = False,
    model: Model = "small",
    parts: Parts = "language",
    trials: Trials = 12,
) -> None:
    """Check that the packaged people, notes, models and perceiver load and belong together.

    With --model: that a base does what the rest needs of it, words, pictures, losses, answers and a
    short training, on words and pictures of this check's own. Exit status 1 if a check fails.

    With --private: that gradients of examples are exact on a model, for no, one and several
    pictures, and that one record moves their clipped sum by no more than the clipping norm. It puts
    LoRA of its own, with random values, on attention layers (q_proj, v_proj, qkv, attn.proj) and
    the connector, in float32: your own adapter is not read. Words and pictures are random; no data
    is read. docs/your_model.md says how to check an adapter and data of your own from Python.
    """
    if private:
        from discreet.cli.private_check import check_private

        check_private(model, parts=parts, trials=trials, cache=cache, as_json=as_json)
        return
    _refuse_of_private(context)
    if _is_given(context, "model"):
        from discreet.cli.model_check import check_model

        check_model(model, cache=cache, as_json=as_json)
        return
    checks: dict[str, Callable[[], str]] = {
        "people": _people,
        "notes": _notes,
        "sentence encoder": _sentence_encoder,
        "base model": lambda: _base(cache),
        "perceiver": _perceiver,
    }
    results = {}
    for name, check in checks.items():
        started = time.perf_counter()
        results[name] = {"found": check(), "seconds": round(time.perf_counter() - started, 2)}
        if not as_json:
            line = f"ok  {name}: {results[name]['found']} ({results[name]['seconds']} s)"
            talk().print(line, markup=False)
    if as_json:
        show_json(results)


def _refuse_of_private(context: typer.Context) -> None:
    """Refuse options that nothing would come of."""
    given = [f"--{name}" for name in _OF_PRIVATE if _is_given(context, name)]
    if given:
        raise ValueError(
            f"Expected {', '.join(given)} together with --private, got no --private. Add it to "
            "check a model; doctor alone checks what is packaged."
        )


def _is_given(context: typer.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def _people() -> str:
    from discreet.data import load_portraits

    train, test = load_portraits("train"), load_portraits("test")
    if {p.identity_id for p in train} & {p.identity_id for p in test}:
        raise ValueError("Expected train and test people to differ, found one in both.")
    return f"{len(train)} portraits to train on, {len(test)} held out"


def _notes() -> str:
    from discreet.data import load_questions

    questions = load_questions()
    return f"{len(questions)} questions with vetted notes"


def _sentence_encoder() -> str:
    from discreet.model import load_sentence_encoder

    return f"all-MiniLM-L6-v2, {load_sentence_encoder().identity[:12]}"


def _base(cache: Path | None) -> str:
    from discreet.model import load

    vlm = load("small", cache_dir=cache)
    return f"small, {vlm.base_hash[:12]}"


def _perceiver() -> str:
    from discreet.perception import Perceiver

    return ", ".join(Perceiver.load().heads)
