"""Which data shaped an adapter is told from data of another kind, and not from more of the same."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from discreet.artifacts import RunFolder
from discreet.audit import (
    AUDITS,
    Asking,
    Subject,
    ask,
    examine_adapter,
    is_bare_adapter,
    open_subject,
    parse_candidates,
)
from discreet.bench import shelve_baseline
from discreet.data import Portrait, load_portraits
from discreet.evidence import Evidence, as_record, evidence_of
from discreet.federated import AssistantTask
from tests.audit.runs import PLAN

AUDIT = AUDITS["attribution"]
SIZE = 40
KINDS = ("child", "older_adult")


def write(path: Path, people: Sequence[Portrait]) -> Path:
    rows = [
        {
            "image": {"bytes": one.jpeg, "path": None},
            "identity_id": one.identity_id,
            "age_band": one.age_band,
            "expression": one.expression,
            "split": "train",
        }
        for one in people
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three files of each of two age bands, which answers are written for; nobody is in two."""
    folder, train = tmp_path_factory.mktemp("sets"), load_portraits("train")
    found = {}
    for kind in KINDS:
        people = [one for one in train if one.age_band == kind]
        for place in range(3):
            own = people[place * SIZE : (place + 1) * SIZE]
            found[f"{kind}-{place}"] = write(folder / f"{kind}-{place}.parquet", own)
    return found


@pytest.fixture(scope="module")
def runs(
    sets: dict[str, Path], base: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A short training without noise on each file."""
    folder, found = tmp_path_factory.mktemp("trained"), {}
    plan = replace(PLAN, base=str(base), num_rounds=1, local_steps=6, canaries=0)
    for name, data in sets.items():
        run = RunFolder.create(folder / name)
        shelve_baseline(AssistantTask.build(plan, shared_data=data), run)
        found[name] = run.path
    return found


@pytest.fixture(scope="module")
def suspect(runs: dict[str, Path], sets: dict[str, Path]) -> Subject:
    """Trained on children; the auditor has other children."""
    path = runs["child-0"]
    return open_subject(str(path), path.parent, data=sets["child-0"])


def asked(subject: Subject, *candidates: str) -> Evidence:
    named = parse_candidates(candidates)
    return ask(AUDIT, replace(subject, candidates=named), Asking(effort="quick"))


def share(found: Evidence, name: str) -> float:
    return float(
        next(
            one["share"]
            for one in found.values["mixture"]["shares"]
            if list(one["candidates"]) == [name]
        )
    )


def test_adapters_of_the_same_kind_of_data_explain_it(
    suspect: Subject, runs: dict[str, Path]
) -> None:
    named = [f"{kind}={runs[f'{kind}-{place}']}" for kind in KINDS for place in (1, 2)]
    found = asked(suspect, *named)
    assert share(found, "child") > 0.65, "a coin: 0.5"
    assert (
        found.values["likeness"]["child"]["cosine"]
        > (found.values["likeness"]["older_adult"]["cosine"])
    )
    assert "started as it did" in found.says[1]
    digests = found.settings["candidates"]
    assert [len(own) for own in digests.values()] == [2, 2]
    assert evidence_of(as_record(found)) == found
    assert not any(str(path) in str(as_record(found)) for path in runs.values())


def test_examples_of_the_same_kind_explain_it_without_training(
    suspect: Subject, sets: dict[str, Path]
) -> None:
    named = [f"{kind}={sets[f'{kind}-{place}']}" for kind in KINDS for place in (1, 2)]
    found = asked(suspect, *named)
    assert share(found, "child") > 0.6
    likeness = found.values["likeness"]
    assert "loss fell by (baseline)" in likeness["child"]


def test_other_people_of_one_kind_cannot_be_told_apart(
    suspect: Subject, runs: dict[str, Path], sets: dict[str, Path]
) -> None:
    found = asked(
        suspect,
        f"one={sets['child-1']}",
        f"other={sets['child-2']}",
    )
    shares = found.values["mixture"]["shares"]
    assert not shares or shares[0]["candidates"] == ["one", "other"]

    alone = asked(suspect, f"one={runs['child-1']}", f"other={runs['child-2']}")
    assert any("nobody can say whether" in limit for limit in alone.limits)


def test_a_candidate_of_another_start_is_said_to_tell_less(
    suspect: Subject, runs: dict[str, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(runs["older_adult-1"] / "adapter", other)
    weights = load_file(other / "adapter_model.safetensors")
    draw = torch.Generator().manual_seed(1)
    moved = {
        name: torch.randn(value.shape, generator=draw) if "lora_A" in name else value
        for name, value in weights.items()
    }
    save_file(moved, other / "adapter_model.safetensors")
    found = asked(suspect, f"child={runs['child-1']}", f"strangers={other}")
    assert "started from another A" in found.says[1]

    bad = {name: value * float("nan") for name, value in weights.items()}
    save_file(bad, other / "adapter_model.safetensors")
    with pytest.raises(Exception, match="NaN|finite"):
        asked(suspect, f"child={runs['child-1']}", f"broken={other}")


def test_any_peft_folder_can_be_asked_about_without_its_base(
    runs: dict[str, Path], sets: dict[str, Path], tmp_path: Path
) -> None:
    bare = tmp_path / "downloaded"
    shutil.copytree(runs["child-0"] / "adapter", bare)
    assert is_bare_adapter(bare)
    assert not is_bare_adapter(runs["child-0"])
    named = [f"{kind}={runs[f'{kind}-{place}']}" for kind in KINDS for place in (1, 2)]
    found = examine_adapter(bare, parse_candidates(named))
    assert share(found, "child") > 0.65, "a coin: 0.5"
    assert found.settings["adapter"]
    assert not any(str(path) in str(as_record(found)) for path in runs.values())
    with pytest.raises(ValueError, match="two candidates or more, got 0"):
        examine_adapter(bare, {})
    with pytest.raises(ValueError, match="Expected adapters as candidates"):
        examine_adapter(bare, parse_candidates([f"{n}={p}" for n, p in list(sets.items())[:2]]))


def test_what_cannot_be_compared_is_refused(
    suspect: Subject, runs: dict[str, Path], sets: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="two candidates or more, got 1"):
        asked(suspect, f"a={runs['child-1']}")
    with pytest.raises(ValueError, match="NAME=PATH"):
        parse_candidates(["nowhere"])
    with pytest.raises(ValueError, match="NAME=PATH"):
        parse_candidates([f"a={tmp_path / 'nothing'}"])
    with pytest.raises(ValueError, match="same file twice"):
        parse_candidates([f"a={runs['child-1']}", f"b={runs['child-1']}"])
    with pytest.raises(ValueError, match="of one kind"):
        asked(suspect, f"a={runs['child-1']}", f"b={sets['child-1']}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="Expected an adapter in 'empty'"):
        parse_candidates([f"a={tmp_path / 'empty'}"])
