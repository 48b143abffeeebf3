"""`discreet policy check` says what a policy allows, and names the article that forbids one."""

import json
from pathlib import Path

import pytest

from discreet.assistant import CONTEXTS, load_policy
from discreet.assistant.policy_files import POLICIES_DIR
from discreet.cli.policy import COLUMNS, explain
from discreet.law import cite
from tests.cli.conftest import Run


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_rule_of_a_shipped_policy_is_explained(discreet: Run, context: str) -> None:
    policy = load_policy(context)
    status, out, err = discreet("policy", "check", context, "--json")
    assert status == 0, err
    record = json.loads(out)
    assert record["sha256"] == policy.sha256
    assert {(row["purpose"], row["attribute"]) for row in record["rows"]} == {
        (purpose.name, name) for purpose in policy.purposes.values() for name in purpose.attributes
    }
    assert all(row[column] for row in record["rows"] for column in COLUMNS)


def test_it_is_said_in_words(discreet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    status, _, told = discreet("policy", "check", "healthcare")
    assert status == 0
    for words in (
        "inform (unless another is named): Answer health questions",
        "estimated from a picture, if consented to (comfort/expression)",
        "child, older_adult; 50% sure or more",
        "60 minutes at most",
        "the person and the responder",
        cite("ai-act-annex-3-1-c"),
        "sees the picture itself if consented to (comfort/picture)",
        "Whatever is not named here is denied.",
    ):
        assert words in told, words
    _, _, told = discreet("policy", "check", "education")
    assert "never sees pictures" in told


def test_an_estimate_is_never_kept_and_always_asked_for() -> None:
    rows = [row for context in CONTEXTS for row in explain(load_policy(context))]
    guessed = [row for row in rows if row["from where"].startswith("estimated")]
    assert len(guessed) == 7
    assert {row["how long"] for row in guessed} == {"for this turn"}
    assert all("if consented to" in row["from where"] for row in guessed)


@pytest.mark.parametrize(
    ("before", "after", "id_"),
    [
        ("responder_sees_picture = false", "responder_sees_picture = true", "ai-act-5-1-f"),
        ("attributes.reading]", "attributes.race]", "ai-act-5-1-g"),
        ("attributes.reading]", "attributes.face_recognition]", "gdpr-9"),
        ('context = "education"', 'context = "education"\nestimate_minors = true', "gdpr-8"),
    ],
)
def test_what_is_prohibited_ends_with_the_article(
    discreet: Run, tmp_path: Path, before: str, after: str, id_: str
) -> None:
    text = (POLICIES_DIR / "education.toml").read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "policy.toml"
    path.write_text(text.replace(before, after), encoding="utf-8")
    status, _, err = discreet("policy", "check", path)
    assert status == 1
    assert cite(id_) in err
