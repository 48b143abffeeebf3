"""Of a picture, 24 bits leave the tower and nothing else."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.nn.functional import adaptive_avg_pool2d

from discreet.errors import ArtifactCorrupt
from discreet.model import (
    CODE,
    ERASER_PATH,
    VIEWS,
    as_bits,
    as_tokens,
    eraser_state,
    load_tower,
)
from discreet.model.vision import TOKENS, EfficientNetLiteConfig, EfficientNetLiteModel


@pytest.fixture(scope="module")
def tower() -> EfficientNetLiteModel:
    return load_tower()


def pixels(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


def test_the_tower_hands_on_signs_and_places_alone(tower: EfficientNetLiteModel) -> None:
    output = tower(pixels(3))
    tokens = output.last_hidden_state
    assert tokens.shape == (3, TOKENS, CODE + TOKENS) == (3, 4, 28)
    assert set(tokens[:, :, :CODE].unique().tolist()) <= {-1.0, 1.0}
    assert torch.equal(tokens[:, :, CODE:], torch.eye(TOKENS).expand(3, -1, -1))
    assert torch.equal(output.pooler_output, tokens.mean(1))
    assert all(torch.equal(state, tokens) for state in output.hidden_states)
    assert set(output.keys()) == {"last_hidden_state", "pooler_output", "hidden_states"}


def test_pictures_with_the_same_bits_cannot_be_told_apart(tower: EfficientNetLiteModel) -> None:
    image = pixels(1)
    near = image + 1e-4
    assert not torch.equal(tower.views(image), tower.views(near))
    assert torch.equal(tower.code(tower.views(image)), tower.code(tower.views(near)))
    assert torch.equal(tower(image).last_hidden_state, tower(near).last_hidden_state)


def test_views_are_the_mean_of_the_last_layer_and_the_strokes_in_place(
    tower: EfficientNetLiteModel,
) -> None:
    """The oracle takes the two maps apart with loops."""
    views = tower.views(pixels(1))
    last, fine = tower._feature_maps(pixels(1))
    cells = adaptive_avg_pool2d(last, 4)[0]
    mean = torch.stack([cells[:, y, x] for y in range(4) for x in range(4)]).mean(0)
    halves = adaptive_avg_pool2d(fine, 8)[0]
    strokes = torch.stack(
        [
            halves[channel, 2 * y + down, 2 * x + right]
            for y in range(4)
            for x in range(4)
            for channel in range(112)
            for down in range(2)
            for right in range(2)
        ]
    )
    assert views.shape == (1, VIEWS)
    torch.testing.assert_close(views[0], torch.cat([mean, strokes]))


@settings(max_examples=50)
@given(rows=st.lists(st.lists(st.booleans(), min_size=CODE, max_size=CODE), min_size=1, max_size=4))
def test_every_code_can_be_read_back_from_any_of_its_tokens(rows: list[list[bool]]) -> None:
    bits = as_bits(torch.tensor(rows).float())
    tokens = as_tokens(bits)
    for place in range(TOKENS):
        assert torch.equal(tokens[:, place, :CODE], bits)


def test_a_tower_without_an_eraser_says_the_same_of_everything() -> None:
    tower = load_tower(eraser=None)
    found = tower(pixels(2)).last_hidden_state
    assert torch.equal(found[0], found[1])
    fresh = EfficientNetLiteModel(EfficientNetLiteConfig())
    assert (fresh.eraser_weight == 0).all()


def test_the_file_of_an_eraser_has_to_fit(tmp_path: Path, tower: EfficientNetLiteModel) -> None:
    state = eraser_state(tower)
    assert all(torch.equal(v, load_file(ERASER_PATH)[k]) for k, v in state.items())
    path = tmp_path / "eraser.safetensors"
    for broken in (
        {"eraser_weight": state["eraser_weight"]},
        {**state, "eraser_bias": torch.zeros(3)},
        {**state, "more": torch.zeros(1)},
    ):
        save_file(broken, path)
        with pytest.raises(ArtifactCorrupt, match="recipe erase"):
            load_tower(eraser=path)
    with pytest.raises(ArtifactCorrupt):
        load_tower(eraser=tmp_path / "none")
