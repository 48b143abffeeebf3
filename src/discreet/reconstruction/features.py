"""What reconstructed visual tokens tell: the picture among known ones, and a blurred copy of it.

>>> gallery = torch.eye(4)[:, None]
>>> rank_in_gallery(torch.tensor([[0.1, 0.8, 0.0, 0.0]]), gallery, truth=1)
1
"""

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoder:
    """A linear map from visual tokens to a small picture."""

    weight: torch.Tensor = field(repr=False)
    """(F, C * H * W) float64."""
    mean_tokens: torch.Tensor = field(repr=False)
    """(P, D)."""
    mean_picture: torch.Tensor = field(repr=False)
    """(C, H, W): what somebody who knows nothing draws."""

    def draw(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the picture that tokens (P, D) stand for, (C, H, W) in [0, 1]."""
        moved = (tokens.double() - self.mean_tokens).flatten() @ self.weight
        return (self.mean_picture + moved.view_as(self.mean_picture)).clamp(0, 1)


def fit_decoder(tokens: torch.Tensor, pictures: torch.Tensor, *, ridge: float = 0.1) -> Decoder:
    """Return the linear decoder that fits pictures of people whom the attacker has.

    Args:
        tokens: (N, P, D) visual tokens.
        pictures: (N, C, H, W) in [0, 1], of the same people.
        ridge: Part of the tokens' mean variance that is added to each direction, above 0.

    Raises:
        ValueError: if there are fewer than two pictures, or not as many as tokens.
    """
    if len(tokens) < 2 or len(tokens) != len(pictures) or ridge <= 0:
        raise ValueError(
            f"Expected two pictures or more with tokens of each and a ridge above 0, got "
            f"{len(pictures)} pictures, {len(tokens)} tokens and ridge={ridge}."
        )
    mean_tokens, mean_picture = tokens.double().mean(0), pictures.double().mean(0)
    x = (tokens.double() - mean_tokens).flatten(1)
    y = (pictures.double() - mean_picture).flatten(1)
    kernel = x @ x.T  # N is smaller than the number of features
    added = ridge * kernel.diagonal().mean().clamp(min=1e-12) * torch.eye(len(x)).double()
    weight = x.T @ torch.linalg.solve(kernel + added, y)
    return Decoder(weight=weight, mean_tokens=mean_tokens, mean_picture=mean_picture)


def centred_cosine(tokens: torch.Tensor, true: torch.Tensor, mean: torch.Tensor) -> float:
    """Return the cosine of tokens (P, D) with the true ones, both less the mean picture's.

    The mean itself gets 0: whoever knows nothing of this picture has it.
    """
    one, other = (tokens - mean).double().flatten(), (true - mean).double().flatten()
    lengths = one.norm() * other.norm()
    return float(one @ other / lengths) if lengths > 0 else 0.0


def rank_in_gallery(tokens: torch.Tensor, gallery: torch.Tensor, *, truth: int) -> int:
    """Return at which place the true picture comes, 1 if it is most alike; ties count against it.

    Args:
        tokens: (P, D) as they were reconstructed.
        gallery: (K, P, D) tokens of known pictures; their mean is taken off all.
        truth: Which of them was the client's.
    """
    mean = gallery.mean(0)
    scores = torch.tensor([centred_cosine(tokens, one, mean) for one in gallery])
    return rank_of(scores, truth=truth)


def rank_of(scores: torch.Tensor, *, truth: int) -> int:
    """Return at which place the true one comes among (K,) scores; ties count against it.

    Raises:
        ValueError: if a score is not finite.
    """
    if not bool(scores.isfinite().all()):
        raise ValueError("Expected finite scores, got NaN or infinity. Look at what was seen.")
    return int((scores >= scores[truth]).sum())
