"""From a file and options to a plan, and what is told where that fails."""

from pathlib import Path

import pytest

from discreet.cli.train_plan import read_plan, with_changes
from discreet.errors import ArtifactError
from discreet.federated import TrainConfig
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed = ", "Expected TOML in 'plan.toml', got something else: Invalid value (at end"),
        ("aggregation = ffa", "(at line 1, column 15)"),
        ("[training]\nseed = 1", "got training. A plan has no tables."),
        ("lora_rr = 4", "got lora_rr. Did you mean lora_r or"),
        ('num_owners = "4"', "Expected num_owners of type int, got num_owners='4'"),
        ("sample_rate = 4", "Expected 0 < sample_rate <= 1, got sample_rate=4.0"),
        ('combine = "medain"', "Did you mean median?"),
    ],
)
@pytest.mark.parametrize("command", [("train",), ("privacy", "plan")])
def test_a_wrong_file_is_one_line_that_names_file_and_key(
    discreet: Run, tmp_path: Path, command: tuple[str, ...], text: str, expected: str
) -> None:
    (tmp_path / "plan.toml").write_text(text)
    status, out, err = discreet(*command, tmp_path / "plan.toml")
    assert (status, out) == (1, "")
    assert expected in err
    assert "'plan.toml'" in err
    assert len(err.splitlines()) == 1


def test_what_is_no_file_of_text_is_no_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_bytes(b"\xff\xfe")
    for path, what in ((tmp_path, "a folder"), (tmp_path / "no", "none there")):
        with pytest.raises(ArtifactError, match=f"{what}. Take a run folder's"):
            read_plan(path)
    with pytest.raises(ArtifactError, match="got something else: bytes"):
        read_plan(tmp_path / "plan.toml")
    assert read_plan(None) == TrainConfig()


def test_options_and_changes_count_together() -> None:
    """None is checked before all are there."""
    plan = with_changes(
        TrainConfig(),
        {"unit": "owner", "num_owners": 1, "seed": None},
        ["sampled=owner", "max_update_norm = 0.5", "base=tiny"],
    )
    expected = {"unit": "owner", "sampled": "owner", "max_update_norm": 0.5, "base": "tiny"}
    assert plan == TrainConfig.from_mapping({**expected, "num_owners": 1, "min_replies": 1})


def test_a_unit_alone_is_told_the_options_that_it_needs(discreet: Run) -> None:
    status, _, err = discreet("train", "--base", "tiny", "--set", "unit=owner")
    assert status == 1
    assert "--set sampled=owner --set max_update_norm=0.5" in err
