import dataclasses
import re
from typing import Any, Literal

import pytest

from discreet.people import read_plain


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
