"""Keys and allowances."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.errors import ArtifactCorrupt, DeploymentError
from discreet.service.access import Allowance, add_key, name_of, read_keys


def test_a_key_opens_under_its_own_name_and_is_in_no_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    one, other = add_key(path, "one"), add_key(path, "other")
    known = read_keys(path)
    assert (name_of(one, known), name_of(other, known), name_of(one[:-1], known)) == (
        "one",
        "other",
        None,
    )
    assert one[4:] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@given(st.text(max_size=40))
def test_no_other_text_opens(text: str) -> None:
    assert name_of(text, {"one": "0" * 64}) is None


@pytest.mark.parametrize("name", ["", "a b", "one", "ä", "a\nb", "x" * 65])
def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path, name: str) -> None:
    add_key(tmp_path / "keys", "one")
    with pytest.raises(ValueError, match="Expected a name"):
        add_key(tmp_path / "keys", name)


@pytest.mark.parametrize("text", ["", "one\n", "one 00\n", f"one {'0' * 64}\none {'1' * 64}\n"])
def test_a_file_with_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ArtifactCorrupt, match="name and a hash in each line"):
        read_keys(path)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    add_key(tmp_path / "keys", "one")
    (tmp_path / "keys").chmod(0o644)
    with pytest.raises(DeploymentError):
        read_keys(tmp_path / "keys")


def test_so_many_at_once_and_then_so_many_a_minute() -> None:
    now = 0.0
    allowance = Allowance(6, seconds=lambda: now)
    assert [allowance.wait_seconds("one") for _ in range(7)] == [0.0] * 6 + [10.0]
    assert allowance.wait_seconds("other") == 0.0, "each has its own"
    now = 10.0
    assert [allowance.wait_seconds("one") for _ in range(2)] == [0.0, 10.0]


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20))
def test_never_more_than_the_bucket_and_what_flows_into_it(
    pauses: list[float], per_minute: int
) -> None:
    now = 0.0
    allowance = Allowance(per_minute, seconds=lambda: now)
    passed = 0
    for pause in pauses:
        now += pause
        passed += not allowance.wait_seconds("one")
    assert passed <= per_minute * (1 + now / 60) + 1e-6
