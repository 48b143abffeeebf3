"""A base of each family passes, and one that is broken on purpose fails by its fault's name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from discreet.model import (
    FAMILIES,
    Check,
    FamilyName,
    behaviour,
    check_conformance,
    check_vlm,
    conformance,
    load,
)
from discreet.model.decoding import Decoder
from discreet.model.finding import Rule, apply_rules
from tests.model.folders import TEMPLATE, save_member

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_member("llava", tmp_path_factory.mktemp("bases") / "mine")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of a base to spoil."""
    return Path(shutil.copytree(original, tmp_path / "mine"))


def failed(found: list[Check]) -> set[str]:
    return {check.name for check in found if check.state == "failed"}


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder: Path, part: str, value: float) -> None:
    tensors = load_file(folder / WEIGHTS)
    chosen = [name for name in tensors if part in name]
    assert chosen
    for name in chosen:
        tensors[name].fill_(value)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize("name", FAMILIES)
def test_a_member_of_every_family_passes(name: FamilyName, tmp_path: Path) -> None:
    found = check_conformance(str(save_member(name, tmp_path / name)))
    assert not failed(found), [check for check in found if check.state == "failed"]
    names = [*conformance._FOLDER, *conformance.WORDS, *behaviour.BEHAVIOUR]
    assert [check.name for check in found] == names
    skipped = {check.name for check in found if check.state == "skipped"}
    assert skipped == (set() if name == "paligemma" else {"prefix is seen whole"})


def no_end_of_turns(folder: Path) -> None:
    text = TEMPLATE.replace("<end_of_turn>", "")
    (folder / "chat_template.jinja").write_text(text)


def an_end_that_nobody_stops_at(folder: Path) -> None:
    edit_json(folder / "generation_config.json", eos_token_id=[2])


def an_end_of_the_tokenizer_alone(folder: Path) -> None:
    an_end_that_nobody_stops_at(folder)
    edit_json(folder / "tokenizer_config.json", eos_token="<end_of_turn>")


def no_system_role(folder: Path) -> None:
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No') }}{% endif %}"
    (folder / "chat_template.jinja").write_text(refusal + TEMPLATE)


def no_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def another_number_of_visual_tokens(folder: Path) -> None:
    edit_json(folder / "config.json", image_seq_length=5)


def padding_on_the_right(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", padding_side="right")


def pickled_weights(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")


def no_image_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def another_architecture(folder: Path) -> None:
    config = hf.GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    hf.GPT2LMHeadModel(config).save_pretrained(folder)


def weights_that_were_cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:5000])


def weights_that_are_missing(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors.pop(next(name for name in tensors if "q_proj" in name))
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def more_words_than_embeddings(folder: Path) -> None:
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["quokka"])
    tokenizer.save_pretrained(folder)


def words_that_are_changed(folder: Path) -> None:
    edit_json(folder / "tokenizer.json", normalizer={"type": "Lowercase"})


def an_empty_projector(folder: Path) -> None:
    edit_weights(folder, "multi_modal_projector.linear_2", 0.0)


def weights_that_are_no_numbers(folder: Path) -> None:
    edit_weights(folder, "layers.1.mlp", float("nan"))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (no_end_of_turns, "turns end"),
        (an_end_that_nobody_stops_at, "turns end"),
        (an_end_of_the_tokenizer_alone, "end is known"),
        (no_system_role, "placeholders"),
        (no_template, "tokenizer and chat template"),
        (another_number_of_visual_tokens, "placeholders"),
        (padding_on_the_right, "padding side"),
        (pickled_weights, "safetensors only"),
        (no_image_processor, "image processor"),
        (no_tokenizer, "tokenizer and chat template"),
        (another_architecture, "architecture"),
        (weights_that_were_cut, "weights"),
        (weights_that_are_missing, "weights"),
        (more_words_than_embeddings, "vocabulary"),
        (words_that_are_changed, "labels"),
    ],
)
def test_a_broken_folder_fails_by_name(
    harm: Callable[[Path], None], named: str, folder: Path
) -> None:
    harm(folder)
    found = check_conformance(str(folder), passes=False)
    assert named in failed(found), found
    for check in found:
        assert bool(check.way_out) or check.state != "failed"


def test_an_empty_projector_fails_by_name(folder: Path) -> None:
    an_empty_projector(folder)
    assert "the picture matters" in failed(check_conformance(str(folder)))


def test_weights_that_are_no_numbers_fail_on_disk_and_in_memory(folder: Path) -> None:
    vlm = load(str(folder))
    weights_that_are_no_numbers(folder)
    assert failed(check_conformance(str(folder))) == {"weights"}
    vlm.model.model.language_model.layers[1].mlp.up_proj.weight.fill_(float("nan"))
    assert {"text alone", "learns"} <= failed(check_vlm(vlm))


def test_what_cannot_be_tried_is_skipped_and_says_why(folder: Path) -> None:
    no_image_processor(folder)
    found = check_conformance(str(folder))
    assert failed(found) == {"image processor"}
    skipped = [check for check in found if check.state == "skipped"]
    assert len(skipped) == len(conformance.WORDS) + len(behaviour.BEHAVIOUR)
    assert {check.way_out for check in skipped} == {"Mend 'image processor' first."}


def test_a_tokenizer_that_cuts_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = load(str(folder))
    whole = type(vlm.tokenizer).__call__

    def cut(self: object, text: str, **settings: object) -> object:
        return whole(self, text, **{**settings, "truncation": True, "max_length": 40})

    monkeypatch.setattr(type(vlm.tokenizer), "__call__", cut)
    assert "placeholders are kept" in failed(check_vlm(vlm, passes=False))


def test_words_that_become_control_tokens_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = load(str(folder))
    monkeypatch.setattr("discreet.model.prompt.without_control_tokens", lambda vlm, said: said)
    monkeypatch.setattr("discreet.model.prompt._plain", lambda text: text)
    found = failed(check_vlm(vlm, passes=False))
    assert {"typed control tokens", "hidden characters"} <= found


def test_losses_that_know_their_neighbours_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    told = behaviour.answer_losses

    def mean(*words: object) -> torch.Tensor:
        found = told(*words)  # type: ignore[arg-type]
        return found.mean().expand(len(found))

    monkeypatch.setattr(behaviour, "answer_losses", mean)
    assert "alone and in a batch" in failed(check_vlm(load("tiny")))


def test_a_prefix_that_reaches_into_the_answer_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = load(str(save_member("paligemma", tmp_path / "paligemma")))

    def all_prefix(config: object, ids: torch.Tensor, **words: object) -> dict[str, torch.Tensor]:
        return {"token_type_ids": torch.zeros_like(ids)}

    def no_prefix(config: object, ids: torch.Tensor, **words: object) -> dict[str, torch.Tensor]:
        return {"token_type_ids": torch.ones_like(ids)}

    monkeypatch.setattr("discreet.model.losses.told_inputs", all_prefix)
    monkeypatch.setattr(behaviour, "told_inputs", no_prefix)
    rules = {name: behaviour.BEHAVIOUR[name] for name in ("read in order", "prefix is seen whole")}
    assert failed(apply_rules(rules, vlm)) == set(rules)


def test_other_words_than_those_of_transformers_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = load(str(folder))
    places = Decoder._places
    monkeypatch.setattr(Decoder, "_places", lambda self, *words: 0 * places(self, *words))
    rules = {"words": behaviour.BEHAVIOUR["answers as transformers does"]}
    assert failed(apply_rules(rules, vlm)) == {"words"}


def test_an_adapter_that_is_saved_without_its_numbers_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = behaviour.save_adapter

    def emptied(vlm: object, spec: object, folder: Path) -> None:
        save(vlm, spec, folder)  # type: ignore[arg-type]
        path = folder / "adapter_model.safetensors"
        save_file({k: torch.zeros_like(v) for k, v in load_file(path).items()}, path)

    monkeypatch.setattr(behaviour, "save_adapter", emptied)
    rules = {"adapter": behaviour.BEHAVIOUR["adapter comes back"]}
    assert failed(apply_rules(rules, load("tiny"))) == {"adapter"}


def test_a_base_comes_back_as_it_was() -> None:
    vlm = load("tiny")
    before = {name: value.clone() for name, value in vlm.model.state_dict().items()}
    check_vlm(vlm)
    after = vlm.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(parameter.requires_grad for parameter in vlm.model.parameters())


def test_a_rule_that_stops_with_an_error_has_failed() -> None:
    def stop(vlm: object) -> tuple[bool, str]:
        raise RuntimeError("out of\nmemory")

    (found,) = apply_rules({"stop": Rule(find=stop, expected="x", way_out="y")}, None)
    assert (found.state, found.got, found.way_out) == ("failed", "RuntimeError: out of", "y")


def a_template_that_divides(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(TEMPLATE + "{{ 1 / 0 }}")


def a_template_that_divides_where_a_system_speaks(folder: Path) -> None:
    late = "{% if messages[0]['role'] == 'system' %}{{ 1 / 0 }}{% endif %}"
    (folder / "chat_template.jinja").write_text(TEMPLATE + late)


def a_template_that_counts_too_far(folder: Path) -> None:
    late = "{% if messages[0]['role'] == 'system' %}{{ range(10**9) }}{% endif %}"
    (folder / "chat_template.jinja").write_text(TEMPLATE + late)


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (a_template_that_divides, "tokenizer and chat template"),
        (a_template_that_divides_where_a_system_speaks, "placeholders"),
        (a_template_that_counts_too_far, "placeholders"),
    ],
)
def test_a_template_that_stops_fails_and_does_not_stop_the_check(
    harm: Callable[[Path], None], named: str, folder: Path
) -> None:
    harm(folder)
    assert named in failed(check_conformance(str(folder), passes=False))
