from discreet.people import CLOTHING, CLOTHING_COLOURS, HAIR, HAIR_COLOURS
from discreet.people.wardrobe import ADULT_CLOTHING

FORBIDDEN = ("bikini", "swim", "lingerie", "bra", "panties", "top", "dress", "sport", "teddy")


def test_clothing_is_everyday_and_modest() -> None:
    assert not [name for name in CLOTHING.values() if any(word in name for word in FORBIDDEN)]
    assert set(CLOTHING) > ADULT_CLOTHING


def test_only_assets_that_came_with_makehuman_are_used() -> None:
    """Community items of the same archive have other terms; see the data card."""
    assert {cut.asset for cut in HAIR.values()} == {
        "", "afro01", "bob01", "bob02", "Braid01", "long01", "ponytail01", "short01", "short02",
        "short03", "short04",
    }  # fmt: skip
    assert all(name.startswith(("male_", "female_")) for name in CLOTHING.values())


def test_every_colour_is_a_colour() -> None:
    for rgb in (*CLOTHING_COLOURS.values(), *HAIR_COLOURS.values()):
        assert len(rgb) == 3
        assert all(0 <= value <= 255 for value in rgb)


def test_hair_is_not_cut_into_the_face() -> None:
    """The brows are at 7.4 and the chin at 6.2."""
    assert all(cut.fringe < 0 or cut.fringe > 7.4 for cut in HAIR.values())
    assert all(cut.shortest < 6.5 for cut in HAIR.values())
