"""How well a model knows one example: scores from what it says of each token; higher: a member.

Numbers in, one number out; it knows no model. The first needs losses only; the others need the
probability of each token, or the whole distribution of the next one.

>>> log_probs = np.log([0.9, 0.8, 0.05, 0.6])
>>> round(loss_score(log_probs), 2), round(least_likely_score(log_probs, share=0.25), 2)
(-0.96, -3.0)
"""

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def loss_score(log_probs: Numbers) -> float:
    """Return minus the mean loss of an example.

    Args:
        log_probs: (T,) of each token that is learnt.

    Source: Yeom et al. 2018 (arXiv:1709.01604), section 3.2.
    """
    return float(_finite(log_probs).mean())


def least_likely_score(log_probs: Numbers, *, share: float = 0.2) -> float:
    """Return the mean log-probability of the least likely tokens (Min-K %).

    A member has few tokens that surprise.

    Args:
        log_probs: (T,) of each token.
        share: Of the tokens, from 0 to 1; one of them at least.

    Source: Shi et al. 2024, *Detecting Pretraining Data from Large Language Models*
    (arXiv:2310.16789).
    """
    return float(np.sort(_finite(log_probs))[: _count(len(log_probs), share)].mean())


def standardized_score(log_probs: Numbers, next_log_probs: Numbers, *, share: float = 0.2) -> float:
    """Return the same of log-probabilities in standard deviations of the next token (Min-K %++).

    Args:
        log_probs: (T,) of each token.
        next_log_probs: (T, V) of every token that could have come in each place.
        share: Of the tokens, from 0 to 1; one of them at least.

    Source: Zhang et al. 2024, *Min-K%++* (arXiv:2404.02936).
    """
    every = _normalized(next_log_probs)
    chance = np.exp(every)
    mean = (chance * every).sum(1)
    spread = np.sqrt(np.maximum((chance * (every - mean[:, None]) ** 2).sum(1), 1e-12))
    return least_likely_score((_finite(log_probs) - mean) / spread, share=share)


def renyi_score(next_log_probs: Numbers, *, alpha: float, share: float = 0.1) -> float:
    """Return minus the mean Renyi entropy of the places that have most of it (MaxRenyi-K %).

    It asks for no target, so that it can be told of tokens that nobody learnt: those of an
    instruction, or of a description that the model itself wrote. Give it the places of one slice.

    Args:
        next_log_probs: (T, V) of every token that could have come in each place.
        alpha: Order, above 0; 1 is Shannon's entropy and infinity looks at the likeliest token.
        share: Of the places, from 0 to 1; one of them at least.

    Source: Li et al. 2024, *Membership Inference Attacks against Large Vision-Language Models*
    (arXiv:2411.02902).
    """
    if not alpha > 0:
        raise ValueError(f"Expected alpha > 0, got {alpha}. Use 0.5, 1, 2 or infinity.")
    entropies = _renyi(_normalized(next_log_probs), alpha)
    return float(-np.sort(entropies)[::-1][: _count(len(entropies), share)].mean())


def _renyi(log_probs: Numbers, alpha: float) -> Numbers:
    """Return the Renyi entropy of each row, in nats, (T,)."""
    if alpha == 1:
        return np.asarray(-(np.exp(log_probs) * log_probs).sum(1))
    if math.isinf(alpha):
        return np.asarray(-log_probs.max(1))
    return np.asarray(np.logaddexp.reduce(alpha * log_probs, axis=1) / (1 - alpha))


def _normalized(log_probs: Numbers) -> Numbers:
    """Return rows whose probabilities add up to one; logits may come in."""
    rows = _finite(log_probs)
    if rows.ndim != 2:
        raise ValueError(f"Expected (T, V), got {rows.shape}. Give the places of one example.")
    return np.asarray(rows - np.logaddexp.reduce(rows, axis=1)[:, None])


def _finite(values: Numbers) -> Numbers:
    found = np.asarray(values, dtype=np.float64)
    if not found.size or not np.isfinite(found).all():
        raise ValueError(
            f"Expected finite numbers of one token or more, got shape {found.shape}. Leave out "
            "examples without an answer."
        )
    return found


def _count(tokens: int, share: float) -> int:
    if not 0 <= share <= 1:
        raise ValueError(f"Expected a share from 0 to 1, got {share}. Use 0.2 for a fifth.")
    return max(1, round(share * tokens))
