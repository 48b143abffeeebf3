"""The apps in `clients/` and `server/`: what they run, and what travels in their bundle."""

import io
import os
import random
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flwr.app import Context, RecordDict
from PIL import Image

from discreet.data import Question
from discreet.federated import LocalGrid, TrainConfig
from discreet.federated.config import SERVER_KEYS
from discreet.privacy import PrivacyLedger
from discreet.quiet import QUIET
from discreet.registry import resolve
from discreet.types import AGE_BANDS, DOMAINS, EXPRESSIONS, OwnerId
from federated.chats import NAMES, shards

ROOT = Path(__file__).parents[2]


def flower_section() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]


def test_the_settings_of_a_flower_run_are_those_of_a_plan() -> None:
    settings = dict(flower_section()["config"])
    assert {settings.pop(key) for key in SERVER_KEYS} == {""}
    assert settings == TrainConfig().as_mapping()


def write_people(path: Path, seed: int) -> Path:
    """Write a table of 16 pictures of noise, each labelled as a person."""
    draw = random.Random(seed)
    rows = []
    for index in range(16):
        stream = io.BytesIO()
        Image.frombytes("RGB", (64, 64), draw.randbytes(64 * 64 * 3)).save(stream, "JPEG")
        rows.append(
            {
                "image": stream.getvalue(),
                "identity_id": str(index),
                "age_band": AGE_BANDS[index % len(AGE_BANDS)],
                "expression": EXPRESSIONS[index % len(EXPRESSIONS)],
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def questions() -> list[Question]:
    """Return ten short questions with their notes."""
    return [
        Question(
            id=f"q{index}",
            part="private",
            language="en",
            domain=DOMAINS[index % len(DOMAINS)],
            topic="water",
            question=f"Why drink glass {index}?",
            note="Water helps.",
            key_facts=(),
            forbidden=(),
            safety="",
            child=("Water helps.",),
            young_adult=("Water helps.",),
            middle_aged=("Water helps.",),
            older_adult=("Drink.",),
            distressed=("Water helps.",),
        )
        for index in range(10)
    ]


def test_two_clinics_train_the_tiny_model_and_the_server_shelves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_people(tmp_path / "shipped" / "train.parquet", seed=0)
    monkeypatch.setattr("discreet.data.portraits.SHIPPED_DIR", tmp_path / "shipped")
    monkeypatch.setattr("discreet.federated.portraits.load_questions", questions)
    monkeypatch.syspath_prepend(ROOT)
    client, server = import_module("clients.app"), import_module("server.app")
    plan = TrainConfig(
        base="tiny",
        num_owners=2,
        num_rounds=2,
        local_steps=2,
        lora_layers=1,
        sample_rate=0.02,
        expected_batch_size=2,
    )
    settings = {**plan.as_mapping(), "run_folder": str(tmp_path / "run")}
    nodes = [
        {
            "owner": f"clinic-{seed}",
            "ledger": str(tmp_path / f"clinic-{seed}" / "ledger.jsonl"),
            "data": str(write_people(tmp_path / f"clinic-{seed}" / "people.parquet", seed)),
        }
        for seed in (1, 2)
    ]
    grid = LocalGrid(client.app, nodes, run_config=settings)
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=settings)
    with grid.activated():
        server.app(grid, context)
    card = resolve("run", tmp_path).card
    ledgers = [PrivacyLedger.open(Path(node["ledger"])) for node in nodes]
    assert [ledger.owners() for ledger in ledgers] == [("clinic-1",), ("clinic-2",)]
    assert card.rounds_done == 2
    assert card.per_owner == {
        "node-1000": ledgers[0].spent(OwnerId("clinic-1")),
        "node-1001": ledgers[1].spent(OwnerId("clinic-2")),
    }
    released = "".join(p.read_text() for p in (tmp_path / "run").glob("*.json*"))
    assert "clinic" not in released


def test_two_labs_train_on_shards_of_their_chats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One set lies elsewhere by now; a node with portraits does not train under this plan."""
    monkeypatch.syspath_prepend(ROOT)
    client, server = import_module("clients.app"), import_module("server.app")
    paths = shards(tmp_path)
    (tmp_path / "set").rename(tmp_path / "moved")
    plan = TrainConfig(
        base="tiny",
        examples="conversations",
        num_owners=3,
        num_rounds=1,
        lora_layers=1,
        sample_rate=0.5,
        expected_batch_size=3,
    )
    settings = {**plan.as_mapping(), "run_folder": str(tmp_path / "run")}
    data = [*paths, write_people(tmp_path / "people.parquet", 1)]
    nodes = [
        {
            "owner": f"lab-{n}",
            "ledger": str(tmp_path / f"ledger-{n}.jsonl"),
            "data": str(path),
            "root": str(tmp_path / "moved"),
        }
        for n, path in enumerate(data)
    ]
    grid = LocalGrid(client.app, nodes, run_config=settings)
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=settings)
    with grid.activated():
        server.app(grid, context)
    card = resolve("run", tmp_path).card
    assert card.examples == "conversations"
    assert set(card.per_owner) == {"node-1000", "node-1001"}
    assert [(tmp_path / f"ledger-{n}.jsonl").exists() for n in range(3)] == [True, True, False]
    released = b"".join(p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file())
    assert not any(name.encode() in released for name in (*NAMES, "lab-"))
    assert b'"reason": "DataError"' in released


def test_a_bundle_holds_the_two_apps_and_no_data(tmp_path: Path) -> None:
    app = tmp_path / "app"
    for folder in ("clients", "server"):
        shutil.copytree(ROOT / folder, app / folder)
    shutil.copy(ROOT / "pyproject.toml", app)
    planted = ["data/patients.jsonl", "clients/patients.jsonl", "notes.md", "extra.py"]
    planted += ["runs/first/ledger.jsonl", "server/metrics.json", "src/discreet/plan.toml"]
    for name in planted:
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("Jane Doe")
    home = {"FLWR_HOME": str(tmp_path / "flwr")}
    flwr = str(Path(sys.executable).with_name("flwr"))
    subprocess.run(
        [flwr, "build", "--app", str(app)],
        cwd=tmp_path,
        env={**os.environ, **QUIET, **home},
        check=True,
        capture_output=True,
    )
    (bundle,) = tmp_path.glob("**/*.fab")
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert set(files) == {
        ".info/CONTENT",
        "clients/__init__.py",
        "clients/app.py",
        "pyproject.toml",
        "server/__init__.py",
        "server/app.py",
    }
    assert not any(b"Jane" in data for data in files.values())
