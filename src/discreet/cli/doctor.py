"""`discreet doctor` and `discreet version`: what is installed and whether it works."""

import re
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from click.core import ParameterSource

from discreet import __version__
from discreet.cli.options import Cache, Json, show_json, talk
from discreet.errors import DiscreetError

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
FOR_WHAT = {
    "demo": "the pages of `discreet demo`",
    "docs": "building the documentation as pages",
    "harness": "our tasks inside lmms-eval",
    "people": "rendering people",
    "photographs": "age and expression on photographs",
    "quant": "bases in 4 and 8 bits",
    "recogniser": "the auditor's face recogniser",
    "release": "building a release",
    "watch": "curves in TensorBoard",
}
"""Extras, and what each is for; that for developers is not listed."""
_EXTRA = re.compile(r"""extra == ['"](\w+)['"]""")
_NAME = re.compile(r"[\w.-]+")
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

    What fails is told with the way out, and the rest is checked. Below stands which extras are
    installed, and what each is for. Exit status 1 if a check fails.

    With --model: that a base does what the rest needs of it, words, pictures, losses, answers and a
    short training, on words and pictures of this check's own.

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
    results = {name: _tried(name, check, as_json) for name, check in checks.items()}
    extras = {name: _is_there(names) for name, names in _extras().items()}
    if as_json:
        show_json(results | {"extras": extras})
    else:
        _tell_extras(extras)
    if any("missing" in result for result in results.values()):
        raise typer.Exit(1)


def _tried(name: str, check: Callable[[], str], as_json: bool) -> dict[str, str | float]:
    """Return what a check found, or what it misses and how to get that."""
    started = time.perf_counter()
    try:
        result: dict[str, str | float] = {"found": check()}
    except (DiscreetError, ImportError, OSError, ValueError) as error:
        result = {"missing": " ".join(str(error).split())}
    result["seconds"] = round(time.perf_counter() - started, 2)
    if not as_json:
        mark = "ok " if "found" in result else "missing "
        said = result.get("found", result.get("missing"))
        talk().print(f"{mark} {name}: {said} ({result['seconds']} s)", markup=False)
    return result


def _extras() -> dict[str, list[str]]:
    """Return the extras of the installed package, each with the distributions that it asks for."""
    found: dict[str, list[str]] = {}
    for line in metadata.requires("discreet") or ():
        if extra := _EXTRA.search(line):
            found.setdefault(extra.group(1), []).append(_NAME.match(line)[0])  # type: ignore[index]
    return found


def _is_there(distributions: list[str]) -> bool:
    for name in distributions:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            return False
    return True


def _tell_extras(extras: dict[str, bool]) -> None:
    for name, is_there in extras.items():
        if (what := FOR_WHAT.get(name)) is None:
            continue
        way = "" if is_there else f": pip install 'discreet[{name}]'"
        mark = "ok " if is_there else "not installed "
        talk().print(f"{mark} extra {name}, for {what}{way}", markup=False)


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
