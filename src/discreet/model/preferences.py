"""Direct preference optimisation: one loss for a pair of answers, which no other pair touches.

A pair is two rows with one prompt. Its loss compares how much likelier an adapter makes the chosen
answer than the base did, with the same of the rejected one; the base is the model with B at zero,
so that no second model is held. What the base says of a pair is a constant: it is computed when it
is first needed, from the pair alone, and kept in memory only. A loss with a term that is estimated
over a batch (the divergence of KTO, for one) couples pairs and could not be trained in private.

Source: Rafailov et al. 2023 (arXiv:2305.18290), Eq. 7.

    >>> from discreet.model.base import load
    >>> from discreet.model.lora import LoraSpec, attach_lora
    >>> rows = answer_pair("Why?", note="Rest.", band="child", chosen="So.", rejected="No, dear.")
    >>> pairs = Comparisons(attach_lora(load("tiny"), LoraSpec()), [rows], beta=0.1)
    >>> round(pairs.losses([0]).item(), 4)  # a fresh adapter is the base: log 2
    0.6931
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import logsigmoid

from discreet.model.base import Vlm
from discreet.model.lora import without_adapter
from discreet.model.losses import answer_log_probs
from discreet.model.prefix import FrozenPrefix
from discreet.model.prompt import Row, build_prompt, collate, person_line
from discreet.types import AgeBand, Observation

AnswerPair = tuple[Row, Row]
"""The chosen answer and the rejected one, to the same prompt."""
ROWS_PER_PAIR = 2
"""Rows that the model sees of each pair; they are one example."""


def answer_pair(
    question: str, *, note: str, band: AgeBand | None, chosen: str, rejected: str
) -> AnswerPair:
    """Return both answers behind the prompt that the assistant would build.

    Args:
        question: As somebody asks it.
        note: Facts of the answer; may be empty.
        band: Whom both answers are for; None for somebody.
        chosen: The better answer.
        rejected: The worse one.
    """
    told = []
    if band is not None:
        told = [Observation(attribute="age_band", value=band, source="declared", confidence=1.0)]
    messages = build_prompt(question, note=note, person=person_line(told))
    return Row(messages=messages, answer=chosen), Row(messages=messages, answer=rejected)


def preference_losses(
    log_probs: torch.Tensor, reference: torch.Tensor, *, beta: float
) -> torch.Tensor:
    """Return -log sigmoid of each pair's margin, (P,).

    Args:
        log_probs: (P, 2) of the chosen and the rejected answers under the model.
        reference: (P, 2), the same under the base.
        beta: How dearly it costs to leave the base, above 0.

    Source: Rafailov et al. 2023 (arXiv:2305.18290), Eq. 7.
    """
    return -logsigmoid(preference_margins(log_probs, reference, beta=beta))


def preference_margins(
    log_probs: torch.Tensor, reference: torch.Tensor, *, beta: float
) -> torch.Tensor:
    """Return the implicit reward of each chosen answer less that of the rejected one, (P,).

    Above 0: the model has learnt to prefer the chosen one. Arguments are those of
    `preference_losses`; the reward is what stands in the sigmoid of its source.
    """
    rewards = beta * (log_probs - reference)
    return rewards[:, 0] - rewards[:, 1]


class Comparisons:
    """Pairs of answers, and what the base says of those that were asked for."""

    def __init__(
        self,
        vlm: Vlm,
        pairs: Sequence[AnswerPair],
        *,
        beta: float,
        prefix: FrozenPrefix | None = None,
    ) -> None:
        """Keep pairs; nothing is computed yet.

        Args:
            vlm: With an adapter. Its base may not change any more.
            pairs: Both rows of each; no pictures.
            beta: As for `preference_losses`.
            prefix: Of the same model; what frozen layers say of a row is then kept. No other rows
                may be given to it.

        Raises:
            ValueError: if beta is not above 0.
        """
        if not 0 < beta < float("inf"):
            raise ValueError(f"Expected a finite beta > 0, got beta={beta}. 0.1 is usual.")
        self._vlm = vlm
        self._pairs = pairs
        self._beta = beta
        self._prefix = prefix
        self._reference: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return len(self._pairs)

    def losses(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the losses of some pairs, (P,) float32, differentiable, in one forward pass."""
        reference = self.reference(indices)
        return preference_losses(self.log_probs(indices), reference, beta=self._beta)

    def margins(self, indices: Sequence[int]) -> torch.Tensor:
        """Return how much more the model has come to prefer the chosen answers, (P,) float32."""
        reference = self.reference(indices)
        return preference_margins(self.log_probs(indices), reference, beta=self._beta)

    def log_probs(self, indices: Sequence[int]) -> torch.Tensor:
        """Return log-probabilities of chosen and rejected answers, (P, 2) float32."""
        batch = collate(self._vlm, [row for index in indices for row in self._pairs[index]])
        if self._prefix is None:
            found = answer_log_probs(self._vlm, batch, None)
        else:
            keys = [(index, place) for index in indices for place in range(ROWS_PER_PAIR)]
            found = self._prefix.answer_log_probs(batch, None, keys=keys)
        return found.view(-1, ROWS_PER_PAIR)

    def reference(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the same under the base, (P, 2) float32: constants, each from its pair alone."""
        missing = sorted({index for index in indices if index not in self._reference})
        if missing:
            with without_adapter(self._vlm):
                for index in missing:
                    alone = collate(self._vlm, self._pairs[index])
                    self._reference[index] = answer_log_probs(self._vlm, alone, None)
        return torch.stack([self._reference[index] for index in indices])
