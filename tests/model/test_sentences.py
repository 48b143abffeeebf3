"""The sentence encoder: pinned, the same alone and in a batch, near where meaning is near."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from discreet.errors import ArtifactCorrupt, DataError
from discreet.model import SentenceEncoder, load_sentence_encoder, sentences
from discreet.model.small import packaged_file

TEXTS = ["My tooth hurts.", "What helps with a toothache?", "How far away is the Moon, roughly?"]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return load_sentence_encoder()


def test_vectors_have_length_one_and_do_not_depend_on_the_batch(encoder: SentenceEncoder) -> None:
    together = encoder.encode(TEXTS)
    assert together.shape == (3, 384)
    assert together.norm(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    alone = torch.cat([encoder.encode([text]) for text in TEXTS])
    assert (together - alone).abs().max() < 1e-5
    assert encoder.encode([]).shape == (0, 384)


def test_what_means_the_same_is_nearer(encoder: SentenceEncoder) -> None:
    tooth, ache, moon = encoder.encode(TEXTS)
    assert tooth @ ache > 0.5 > 0.2 > tooth @ moon


def test_the_first_layer_agrees_with_the_formula(encoder: SentenceEncoder) -> None:
    """Vaswani et al. 2017, equation 1, and Devlin et al. 2019, written out on the weights."""
    path = packaged_file(sentences.WEIGHTS, sentences.WEIGHTS_SHA256)
    state = {name: value.double() for name, value in load_file(path).items()}
    ids = encoder._tokenizer(TEXTS[0])["input_ids"]
    assert ids[0] == encoder._tokenizer.cls_token_id

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + 1e-12).sqrt()
        return x * state[f"{name}.weight"] + state[f"{name}.bias"]

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    table = "embeddings.{}_embeddings.weight"
    x = state[table.format("word")][ids] + state[table.format("position")][: len(ids)]
    x = norm(x + state[table.format("token_type")][0], "embeddings.LayerNorm")
    at = "encoder.layer.0."
    query, key, value = (
        linear(x, f"{at}attention.self.{part}").view(len(ids), 12, 32).transpose(0, 1)
        for part in ("query", "key", "value")
    )
    weights = (query @ key.mT / math.sqrt(32)).softmax(-1)
    mixed = (weights @ value).transpose(0, 1).reshape(len(ids), 384)
    x = norm(x + linear(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
    inner = torch.nn.functional.gelu(linear(x, f"{at}intermediate.dense"))
    x = norm(x + linear(inner, f"{at}output.dense"), f"{at}output.LayerNorm")
    hidden = encoder._model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    assert (hidden[1][0].double() - x).abs().max() < 1e-4


def test_its_identity_follows_the_pinned_files(
    encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = encoder.identity
    assert encoder.identity == before
    for name in ("WEIGHTS_SHA256", "TOKENIZER_SHA256"):
        with monkeypatch.context() as other:
            other.setattr(sentences, name, "0" * 64)
            assert encoder.identity != before


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(ArtifactCorrupt, match=r"model\.safetensors"):
        load_sentence_encoder()


def test_without_the_package_its_name_and_the_way_out_are_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sentences, "TOKENIZER", ("no_such_encoder", "tokenizer.json"))
    with pytest.raises(DataError, match=r"no-such-encoder.*make setup.*by words") as error:
        load_sentence_encoder()
    assert str(Path.home()) not in str(error.value)
