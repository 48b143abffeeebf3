"""What docs/your_model.md shows runs, and its table of mistakes quotes what the code says."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from discreet.model import build_family
from discreet.privacy import CounterGenerator, ExampleLosses, check_exactness, fit_private

PAGE = Path(__file__).parents[1] / "docs" / "your_model.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
MISTAKES = re.findall(r"^\| (.+?) \| (.+?) \|$", TEXT.split("## Common mistakes")[1], re.MULTILINE)

# A page that takes minutes is run by nobody; it takes about ten seconds.
pytestmark = pytest.mark.timeout(120)

Said = Callable[["_Page"], str]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator["_Page"]:
    """The names that the page leaves behind, run from top to bottom in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        yield _Page()


class _Page:
    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        for block in BLOCKS:
            exec(compile(block, PAGE.name, "exec"), self.names)
        self.model, self.loss_of = self.names["model"], self.names["loss_of"]
        for name, parameter in self.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)

    def train(self, loss_of: Any = None, **changes: Any) -> str:
        """Return what a step on the page's model says."""
        model = changes.pop("model", self.model)
        settings = {
            "num_examples": 40,
            "plan": self.names["plan"],
            "steps": 1,
            "optimizer": torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1),
            "sampling_generator": CounterGenerator.seeded("a"),
            "noise_generator": CounterGenerator.seeded("b"),
        }
        with pytest.raises((ValueError, RuntimeError)) as error:
            fit_private(model, loss_of or self.loss_of, **{**settings, **changes})
        return str(error.value)

    def check(self, loss_of: Any, model: Any = None) -> str:
        """Return what the check of exactness says."""
        return " ".join(check_exactness(model or self.model, loss_of, [range(4)]).problems)

    def adapt(self, **changes: Any) -> Any:
        """Return another model."""
        family = build_family("qwen2_vl")
        targets = family.lora_targets(["language"])
        return get_peft_model(family.model, LoraConfig(r=4, target_modules=targets, **changes))

    def change(self, values: Any = None, rows: Any = None) -> Any:
        """Return the page's losses, changed."""

        def changed(drawn: Any) -> ExampleLosses:
            found = self.loss_of(drawn)
            return ExampleLosses(
                values=values(found.values) if values else found.values,
                rows=rows(found.rows) if rows else found.rows,
            )

        return changed

    def of_model(self, drawn: Any) -> ExampleLosses:
        """Return the loss that the model computes, as that of each example."""
        inputs, labels = self.names["collate"](drawn)
        loss = self.model(**inputs, labels=labels).loss
        return ExampleLosses(
            values=loss.expand(len(drawn)), rows=self.names["rows_of"](drawn, inputs)
        )

    def drop_out(self) -> str:
        """Return what the check says of a model with dropout."""
        model = self.adapt(lora_dropout=0.5, init_lora_weights=False).train()

        def loss_of(drawn: Any) -> torch.Tensor:
            inputs, _ = self.names["collate"](drawn)
            found: torch.Tensor = model(**inputs).logits.square().mean((1, 2))
            return found

        with pytest.raises(ValueError, match="chance") as error:
            self.check(loss_of, model)
        return str(error.value)


STREAM = CounterGenerator.seeded("c")
WAYS: dict[str, Said] = {
    "the mean over the batch": lambda p: p.train(p.change(values=torch.mean)),
    "the model's own `labels=` loss": lambda p: p.check(p.of_model),
    "no `rows`": lambda p: p.train(lambda drawn: p.loss_of(drawn).values),
    "right number of rows": lambda p: p.check(
        p.change(rows=lambda rows: {part: index.flip(0) for part, index in rows.items()})
    ),
    "one generator twice": lambda p: p.train(sampling_generator=STREAM, noise_generator=STREAM),
    "optimizer made before": lambda p: p.train(
        optimizer=torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    ),
    "adapter in bfloat16": lambda p: p.train(model=p.adapt().bfloat16()),
    "DoRA": lambda p: p.train(model=p.adapt(use_dora=True)),
    "dropout": _Page.drop_out,
    "users as elements": lambda p: p.train(
        plan=p.names["by_example"], user_of=list(torch.arange(40) // 4)
    ),
    "more steps": lambda p: p.train(steps=11),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_mistake_says_what_the_page_quotes(way: str, page: _Page) -> None:
    (seen,) = (seen for mistake, seen in MISTAKES if mistake.startswith(way))
    quoted = [words for words in re.findall(r"`([^`]+)`", seen) if " " in words]
    said = WAYS[way](page)
    assert quoted
    assert all(words in said for words in quoted), said


def test_every_mistake_of_the_page_is_made_here() -> None:
    rows = [mistake for mistake, _ in MISTAKES if mistake not in ("mistake", "---")]
    assert len(rows) == len(WAYS)


def test_the_page_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[0], PAGE.name, "exec"), {})
    (shown,) = re.findall(r"^```text\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert capsys.readouterr().out == shown
