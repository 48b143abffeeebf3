import dataclasses
import re
from typing import Any, Literal

import pytest

from discreet.people import read_plain
from discreet.people.codec import parse_json


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaf:
    name: str
    share: float = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
    leaves: tuple[Leaf, ...]
    rgb: tuple[int, int, int]
    kind: Literal["oak", "elm"]
    weights: dict[str, float]


PLAIN: dict[str, Any] = {
    "leaves": [{"name": "a"}, {"name": "b", "share": 1}],
    "rgb": [1, 2, 3],
    "kind": "elm",
    "weights": {"x": 2},
}


def test_nested_values_are_read_and_numbers_become_floats() -> None:
    tree = read_plain(Tree, PLAIN)
    assert tree == Tree(
        leaves=(Leaf(name="a"), Leaf(name="b", share=1.0)),
        rgb=(1, 2, 3),
        kind="elm",
        weights={"x": 2.0},
    )
    assert isinstance(tree.leaves[1].share, float)
    assert isinstance(tree.weights["x"], float)


def test_what_asdict_gives_is_read_back() -> None:
    tree = read_plain(Tree, PLAIN)
    assert read_plain(Tree, dataclasses.asdict(tree)) == tree


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "ash"}, "at '.kind', got 'ash'"),
        ({"rgb": [1, 2]}, "at '.rgb', got list"),
        ({"rgb": [1, 2, 3.5]}, "Expected int at '.rgb[2]', got 3.5"),
        ({"leaves": [{"name": 3}]}, "Expected str at '.leaves[0].name', got 3"),
        ({"leaves": [{}]}, "Expected the fields"),
        ({"leaves": [{"name": "a", "more": 1}]}, "Expected the fields"),
        ({"leaves": {"name": "a"}}, "at '.leaves', got dict"),
        ({"weights": {"x": True}}, "Expected float at '.weights', got True"),
        ({"weights": {"x": float("nan")}}, "Expected a finite number at '.weights', got nan"),
        ({"weights": {"x": float("-inf")}}, "Expected a finite number at '.weights', got -inf"),
        ({"weights": {"x": 10**400}}, "Expected a finite number at '.weights', got 1000"),
        ({"weights": [1]}, "at '.weights', got list"),
        ({"extra": 1}, "Expected the fields"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_plain(Tree, PLAIN | change)


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected the fields"):
        read_plain(Tree, {name: value for name, value in PLAIN.items() if name != "rgb"})


def test_a_value_that_is_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected a table at 'Tree', got list"):
        read_plain(Tree, [])


def test_a_long_value_is_not_repeated_whole() -> None:
    for change in ({"kind": "x" * 9999}, {"x" * 9999: 1}, {"weights": {"x": 10**400}}):
        with pytest.raises(ValueError, match="Expected") as caught:
            read_plain(Tree, PLAIN | change)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"x": NaN}', "got NaN"),
        ("[-Infinity]", "got -Infinity"),
        ("[" * 100_000, "nested"),
        ('{"x": ', "Expected JSON"),
        ("9" * 5000, "digits"),
    ],
)
def test_what_is_not_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text)
