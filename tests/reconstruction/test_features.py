"""Pictures from visual tokens: planted maps are found, unrelated ones give the mean picture."""

import pytest
import torch

from discreet.reconstruction import centred_cosine, fit_decoder, psnr, rank_in_gallery, rank_of


def planted(people: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (N, 2, 6), and pictures (N, 1, 12, 12) that are a linear map of them."""
    way = torch.randn(12, 144, generator=torch.Generator().manual_seed(0)) * 0.02
    tokens = torch.randn(people, 2, 6, generator=torch.Generator().manual_seed(seed))
    return tokens, (0.5 + tokens.flatten(1) @ way).view(people, 1, 12, 12)


def test_a_planted_map_is_learnt_and_holds_for_others() -> None:
    decoder = fit_decoder(*planted(60, 1), ridge=1e-6)
    tokens, pictures = planted(5, 2)
    for token, picture in zip(tokens, pictures, strict=True):
        assert psnr(decoder.draw(token).float(), picture) > 40
        assert psnr(decoder.mean_picture.float(), picture) < 30


def test_the_mean_tokens_give_the_mean_picture() -> None:
    tokens, pictures = planted(20, 3)
    decoder = fit_decoder(tokens, pictures)
    assert torch.allclose(decoder.draw(tokens.mean(0)), pictures.double().mean(0), atol=1e-6)
    assert centred_cosine(tokens.mean(0), tokens[0], tokens.mean(0)) == 0.0
    with pytest.raises(ValueError, match="two pictures or more"):
        fit_decoder(tokens[:1], pictures[:1])


def test_noisy_tokens_find_their_picture_and_others_find_it_by_chance() -> None:
    draw = torch.Generator().manual_seed(4)
    gallery = torch.randn(10, 2, 16, generator=draw) + 5
    near = gallery + 0.3 * torch.randn(gallery.shape, generator=draw)
    assert [rank_in_gallery(near[k], gallery, truth=k) for k in range(10)] == [1] * 10
    strangers = torch.randn(400, 2, 16, generator=draw) + 5
    first = sum(rank_in_gallery(one, gallery, truth=3) == 1 for one in strangers)
    assert 20 <= first <= 64, "one in ten, within four standard errors"


def test_ties_count_against_the_truth() -> None:
    assert rank_of(torch.ones(5), truth=2) == 5
    assert rank_of(torch.tensor([0.1, 0.9, 0.5]), truth=2) == 2
