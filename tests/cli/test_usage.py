"""A command called wrongly is told what was expected, and nothing that was typed is repeated."""

import click
import pytest

from discreet.cli import COMMANDS
from tests.cli.conftest import Run

SECRET = "zebrapox"


def told(found: tuple[int, str, str]) -> str:
    """Return what was said of a wrong call, on one line, after looking for the secret."""
    status, out, err = found
    assert status == 2
    assert SECRET not in (out + err).lower()
    return " ".join(err.split())


@pytest.mark.parametrize(
    "words",
    [
        ("chat", "--once", "I", "have", SECRET),
        ("chat", f"I have {SECRET}"),
        ("doctor", SECRET),
        ("privacy", "plan", SECRET, SECRET),
        ("adapters", "list", SECRET),
    ],
)
def test_a_text_without_quotation_marks_is_told_of_them_and_not_repeated(
    discreet: Run, words: tuple[str, ...]
) -> None:
    said = told(discreet(*words))
    assert "needs quotation marks" in said
    assert ("discreet chat --once" in said) == (words[0] == "chat")


@pytest.mark.parametrize("words", [(SECRET,), (f"I have {SECRET}",), ("data", SECRET)])
def test_a_word_in_the_place_of_a_command_is_not_repeated(
    discreet: Run, words: tuple[str, ...]
) -> None:
    said = told(discreet(*words))
    assert "Expected a command: " in said
    assert ("check" if len(words) == 2 else ", ".join(COMMANDS)) in said


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("spent",), "privacy spent"),
        (("privacy", "spend"), "privacy spent"),
        (("tain",), "train"),
    ],
)
def test_a_command_that_is_nearly_one_is_told(
    discreet: Run, words: tuple[str, ...], meant: str
) -> None:
    said = told(discreet(*words))
    assert "Did you mean `" in said
    assert f"discreet {meant}`? Expected" in said
    assert "Did you mean" not in told(discreet(SECRET))


def test_every_command_keeps_an_extra_word_to_itself(discreet: Run) -> None:
    for name in COMMANDS:
        told(discreet(name, SECRET, SECRET, SECRET, f"--{SECRET} {SECRET}"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("chat", "--find", SECRET), "Invalid value for '--find': Expected one of words, meaning"),
        (("chat", "--language", SECRET), "Expected one of en, fr"),
        (("chat", "--drafts", SECRET), "Expected a value of the kind 'integer' at least 1"),
        (("chat", "--drafts", "0"), "at least 1"),
        (("chat", "--max-new-tokens", f"5 {SECRET}"), "the kind 'integer'"),
        (("chat", "--guidance", SECRET), "the kind 'float'"),
        (("chat", f"--I have {SECRET}"), "Expected an option, got something else"),
        (("chat", f"--json={SECRET}"), "'--json' does not take a value"),
    ],
)
def test_a_value_of_the_wrong_kind_is_not_repeated(
    discreet: Run, words: tuple[str, ...], said: str
) -> None:
    assert said in told(discreet(*words))


def test_names_of_options_are_told_as_ever(discreet: Run) -> None:
    assert "Did you mean" in told(discreet("chat", "--imag", "face.jpg"))
    assert "--imag" in told(discreet("chat", "--imag", "face.jpg"))
    assert "'--once' requires an argument" in told(discreet("chat", "--once"))
    assert "Missing argument" in told(discreet("adapters", "show"))


def test_what_a_command_says_itself_is_told_as_it_is(discreet: Run) -> None:
    assert "Expected skip or refuse." in told(
        discreet("data", "check", ".", "--on-problem", SECRET)
    )


def test_click_alone_would_have_repeated_it() -> None:
    """Were it not so, the tests above could not fail."""
    with pytest.raises(click.UsageError, match=SECRET):
        click.Command("chat").main([SECRET], standalone_mode=False)
