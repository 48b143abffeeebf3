"""Several requests in one pass get the answers that each has alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.Image import Image
from transformers import GenerationConfig

from discreet.errors import ArtifactCorrupt, IncompatibleBase
from discreet.model import (
    BASE_ADAPTER,
    IMAGE_TOKEN,
    Answer,
    Enough,
    LoraSpec,
    Request,
    TooManyTokens,
    Vlm,
    answer_all,
    attach_lora,
    base_of,
    build_prompt,
    drop_adapter,
    encode_images,
    generate,
    lay_out_weights,
    load,
    load_adapter,
    save_adapter,
)
from discreet.model.decoding import Prompt, _groups
from discreet.model.exports import ADAPTER_FILE
from discreet.model.generation import _Draft
from discreet.model.prompt import encode_prompt
from tests.model.conftest import shake, talkative

SPEC = LoraSpec(r=2, alpha=8, layers=2)
TOKENS = 20


def prompt(person: str = "a child", question: str = "Why rest?") -> list[dict[str, str]]:
    return build_prompt(question, note="Rest heals.", person=person)


def saved(folder: Path, seed: int, spec: LoraSpec = SPEC) -> Path:
    """Write an adapter and a projector of random numbers for `tiny`."""
    vlm = shake(attach_lora(load("tiny"), spec), seed)
    save_adapter(vlm, spec, folder / f"adapter{seed}")
    return folder / f"adapter{seed}"


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [saved(folder, seed) for seed in (1, 2)]


@pytest.fixture
def two(folders: list[Path]) -> Vlm:
    """`tiny` that says words, with adapters `one` and `two`; `one` is in use."""
    vlm = load_adapter(talkative(load("tiny")), folders[0], name="one")
    return load_adapter(vlm, folders[1], name="two")


def alone(vlm: Vlm, requests: list[Request]) -> list[Answer]:
    return [answer_all(vlm, [request])[0] for request in requests]


def test_a_mixed_batch_gives_each_the_answer_that_it_has_alone(
    two: Vlm, folders: list[Path], faces: list[Image]
) -> None:
    """And the one of a model that holds nothing but its adapter."""
    plans: list[tuple[str, str, float, int]] = [
        ("one", "a child", 1.0, 20),
        ("two", IMAGE_TOKEN, 1.0, 9),
        (BASE_ADAPTER, "a child", 2.0, 20),
        ("two", "a child with a sad expression, in words", 1.5, 15),
        ("one", IMAGE_TOKEN, 1.5, 1),
        (BASE_ADAPTER, IMAGE_TOKEN, 1.0, 30),
        ("two", "a child", 1.0, 20),
    ]
    requests, expected = [], []
    for place, (name, person, guidance, tokens) in enumerate(plans):
        single = talkative(load("tiny"))
        if name != BASE_ADAPTER:
            single = load_adapter(single, folders[["one", "two"].index(name)])
        features = encode_images(two, [faces[place]], adapter=name) if "<" in person else None
        own = encode_images(single, [faces[place]]) if "<" in person else None
        if features is not None:
            torch.testing.assert_close(features, own)
        request = Request(
            messages=prompt(person, f"Why rest{'?' * (place + 1)}"),
            contrast=prompt("somebody", f"Why rest{'?' * (place + 1)}"),
            image_features=features,
            guidance=guidance,
            adapter=name,
            max_new_tokens=tokens,
        )
        requests.append(request)
        expected += answer_all(single, [replace(request, adapter=None)])
    together = answer_all(two, requests)
    assert together == expected
    assert alone(two, requests) == expected
    assert len({answer.text for answer in expected}) > 4, "the adapters have a say"


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    tokens=st.lists(st.integers(1, 30), min_size=5, max_size=5),
    temperature=st.sampled_from([0.0, 0.7, 2.0]),
)
def test_other_rows_have_no_part_in_an_answer(
    lengths: list[int], tokens: list[int], temperature: float
) -> None:
    vlm = talkative(load("tiny"))
    requests = [
        Request(
            messages=prompt("a child", "w" * length),
            max_new_tokens=most,
            temperature=temperature,
            top_p=0.9,
            seed=length,
        )
        for length, most in zip(lengths, tokens, strict=False)
    ]
    assert answer_all(vlm, requests) == alone(vlm, requests)


def test_the_greedy_answer_is_that_of_transformers(two: Vlm) -> None:
    """Which knows neither loops nor prefixes; the answers are too short to loop."""
    people = ["a child", "somebody, in plain sentences", "an older adult, in numbered steps"]
    for person in people:
        ids = torch.tensor([encode_prompt(two, prompt(person))])
        settings = GenerationConfig(
            max_new_tokens=8, do_sample=False, eos_token_id=2, pad_token_id=2
        )
        theirs = two.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )
        text = two.tokenizer.decode(theirs[0, ids.shape[1] :], skip_special_tokens=True)
        assert generate(two, prompt(person), max_new_tokens=8) == text.strip()


def test_what_prompts_share_is_found_before_pictures_and_within_an_adapter() -> None:
    picture = 99
    rows = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6, 7], [1, 2, 3, 4, 5], [1, 2, 3, picture, 4], [8, 9]]
    names = ["one", "one", "two", "one", "one"]
    prompts = [Prompt(input_ids=ids, adapter=name) for ids, name in zip(rows, names, strict=True)]
    found = [(group.prefix, group.rows) for group in _groups(prompts, picture)]
    assert found == [([1, 2, 3], [0, 1, 3]), ([1, 2, 3, 4], [2]), ([8], [4])]


def test_an_answer_that_is_drawn_follows_from_its_seed(two: Vlm) -> None:
    request = Request(messages=prompt(), temperature=1.5, max_new_tokens=30)
    state = torch.get_rng_state()
    answers = [answer_all(two, [replace(request, seed=seed)])[0].text for seed in range(6)]
    assert torch.equal(torch.get_rng_state(), state), "the caller's chance is left alone"
    assert len(set(answers)) > 1
    assert answers[3] == answer_all(two, [replace(request, seed=3)])[0].text
    narrow = replace(request, top_p=1e-9, seed=4)
    assert answer_all(two, [narrow]) == answer_all(two, [replace(request, temperature=0.0)])


def test_draws_have_the_chances_of_the_nucleus(two: Vlm) -> None:
    """At temperature 2 chances are roots; by chance this fails once in 10^5 times (chi-square)."""
    chances = torch.tensor([0.04, 0.36, 0.01, 0.49, 0.0, 0.10]).double()
    request = Request(messages=prompt(), temperature=2.0, top_p=0.8, seed=1)
    draft = _Draft(two, request)
    drawn = [draft._draw(chances.log()) for _ in range(6000)]
    # 0.7 + 0.6 + 0.316 of 1.916 reach 0.8; without the third they are below.
    wanted = {3: 0.7, 1: 0.6, 5: 0.1**0.5}
    expected = {token: 6000 * root / sum(wanted.values()) for token, root in wanted.items()}
    assert set(drawn) == set(expected)
    statistic = sum((drawn.count(t) - e) ** 2 / e for t, e in expected.items())
    assert statistic < 23.03  # two degrees of freedom: exp(-statistic / 2)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_stop_text_ends_its_own_answer_only(two: Vlm, temperature: float) -> None:
    free = Request(
        messages=prompt(), adapter=BASE_ADAPTER, max_new_tokens=60, temperature=temperature
    )
    (whole,) = answer_all(two, [free])
    stop = whole.text[7:10]
    pieces: list[str] = []
    held = replace(free, stop=("nowhere", stop), on_text=pieces.append)
    stopped, other = answer_all(two, [held, free])
    assert stopped.text == whole.text[: whole.text.index(stop)].strip()
    assert "".join(pieces).strip() == stopped.text, "nothing of the stop text is shown"
    assert stopped.ended == "stop"
    assert stopped.tokens < whole.tokens
    assert other == whole


def test_a_reader_that_has_enough_ends_its_own_answer_only(two: Vlm) -> None:
    free = Request(messages=prompt(), adapter=BASE_ADAPTER, max_new_tokens=60)
    (whole,) = answer_all(two, [free])
    shown: list[str] = []

    def twice(piece: str) -> None:
        shown.append(piece)
        if len(shown) == 2:
            raise Enough

    stopped, other = answer_all(two, [replace(free, on_text=twice), free])
    assert (stopped.ended, other) == ("reader", whole)
    assert len(shown) == 2
    assert stopped.tokens < whole.tokens


def test_an_answer_ends_with_the_token_that_ends_a_turn(two: Vlm) -> None:
    request = Request(messages=prompt(), max_new_tokens=40)
    (whole,) = answer_all(two, [request])
    assert whole.ended == "length"
    ids = two.tokenizer.encode(whole.text, add_special_tokens=False)
    base_of(two).generation_config.eos_token_id = [2, ids[5]]
    (short,) = answer_all(two, [request])
    assert short.ended == "end"
    assert short.tokens <= 7 < whole.tokens


def test_rows_that_would_not_be_alone_are_refused(tiny: Vlm) -> None:
    tiny.model.model.language_model.rotary_emb.rope_type = "longrope"
    request = Request(messages=prompt(), max_new_tokens=1)
    with pytest.raises(ValueError, match="one by one"):
        answer_all(tiny, [request, request])


def test_no_request_gives_no_answer(two: Vlm) -> None:
    assert answer_all(two, []) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"messages": []}, "at least one message"),
        ({"max_new_tokens": 0}, "max_new_tokens >= 1"),
        ({"temperature": -0.1}, "temperature of 0 or more"),
        ({"temperature": float("nan")}, "temperature of 0 or more"),
        ({"top_p": 0.0}, "0 < top_p <= 1"),
        ({"seed": -1}, "Expected a seed"),
        ({"stop": ("",)}, "an empty one"),
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(change: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Request(**{"messages": prompt(), **change})


def test_a_prompt_beyond_the_context_is_refused(tiny: Vlm) -> None:
    with pytest.raises(TooManyTokens, match="at most 4096 tokens together"):
        generate(tiny, prompt(question="why " * 1000))
    with pytest.raises(TooManyTokens):
        generate(tiny, prompt(), max_new_tokens=4096)


def test_requests_and_answers_say_nothing_personal_in_their_repr(two: Vlm) -> None:
    request = Request(messages=prompt("a child"), stop=("x",))
    assert "child" not in repr(request) + repr(answer_all(two, [request])[0])


def test_adapters_share_the_base_and_keep_their_own_projector(
    two: Vlm, folders: list[Path], faces: list[Image]
) -> None:
    pictures = {n: encode_images(two, faces[:2], adapter=n) for n in (BASE_ADAPTER, "one", "two")}
    base = talkative(load("tiny"))
    torch.testing.assert_close(pictures[BASE_ADAPTER], encode_images(base, faces[:2]))
    torch.testing.assert_close(pictures["one"], encode_images(two, faces[:2]))
    assert not torch.allclose(pictures["one"], pictures["two"])
    back = drop_adapter(two, "two")
    with pytest.raises(ValueError, match="got another name"):
        answer_all(back, [Request(messages=prompt(), adapter="two")])
    with pytest.raises(ValueError, match="got another name"):
        encode_images(back, faces[:1], adapter="two")
    again = load_adapter(back, folders[1], name="two")
    assert set(again.projectors) == {BASE_ADAPTER, "one", "two"}


@pytest.mark.parametrize("name", ["one", "base", "", "a.b", "__base__", "a b"])
def test_a_name_that_cannot_be_kept_apart_is_refused(
    two: Vlm, folders: list[Path], name: str
) -> None:
    with pytest.raises(ValueError, match="Expected a name"):
        load_adapter(two, folders[1], name=name)


@pytest.mark.parametrize("name", ["one", "base", "nobody"])
def test_only_an_adapter_beside_the_one_in_use_is_dropped(two: Vlm, name: str) -> None:
    with pytest.raises(ValueError, match="beside the one in use"):
        drop_adapter(two, name)


def test_an_adapter_of_another_rank_is_refused(two: Vlm, tmp_path: Path) -> None:
    folder = saved(tmp_path, 3, replace(SPEC, r=3))
    with pytest.raises(IncompatibleBase, match="rank 2"):
        load_adapter(two, folder, name="three")


def test_a_damaged_second_adapter_leaves_the_others(two: Vlm, tmp_path: Path) -> None:
    request = Request(messages=prompt(), adapter="two", max_new_tokens=TOKENS)
    before = answer_all(two, [request])
    folder = saved(tmp_path, 3, replace(SPEC, layers=1))
    raw = (folder / "lora.json").read_text()
    (folder / "lora.json").write_text(raw.replace('"layers": 1', '"layers": 2'))
    with pytest.raises(ArtifactCorrupt, match="another base"):
        load_adapter(two, folder, name="three")
    assert set(two.model.peft_config) == {"one", "two"}
    assert answer_all(two, [request]) == before
    (folder / ADAPTER_FILE).unlink()
    with pytest.raises(ArtifactCorrupt):
        load_adapter(two, folder, name="three")


def test_weights_by_columns_give_the_same_answers(two: Vlm) -> None:
    request = Request(messages=prompt(), adapter="two", max_new_tokens=TOKENS)
    before = answer_all(two, [request])
    values = {name: value.clone() for name, value in two.model.state_dict().items()}
    lay_out_weights(two)
    lay_out_weights(two)
    assert all(torch.equal(values[name], value) for name, value in two.model.state_dict().items())
    weight = base_of(two).lm_head.weight
    assert weight.stride() == (1, len(weight))
    assert answer_all(two, [request]) == before


@pytest.mark.slow
def test_a_mixed_batch_of_small_gives_each_the_answer_that_it_has_alone(
    small: Vlm, faces: list[Image]
) -> None:
    questions = ["What is a fever?", "Why rest?", "How long should people sleep at night?"]
    requests = [
        Request(
            messages=build_prompt(question, note="Rest heals. A fever is 38 or more.", person=who),
            contrast=build_prompt(question, note="Rest heals. A fever is 38 or more.", person="me"),
            image_features=encode_images(small, faces[:1]) if who == IMAGE_TOKEN else None,
            guidance=guidance,
            max_new_tokens=tokens,
        )
        for question, who, guidance, tokens in zip(
            questions, ["a child", IMAGE_TOKEN, "me"], [1.5, 1.5, 1.0], [24, 16, 24], strict=True
        )
    ]
    assert answer_all(small, requests) == alone(small, requests)
