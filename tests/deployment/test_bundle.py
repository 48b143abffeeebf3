"""What travels with a run."""

import io
import zipfile
from pathlib import Path

import pytest

from deployment.apps import tiny_app
from discreet.deployment import bundle
from discreet.deployment.bundle import build, kit_app, read_app
from discreet.errors import ArtifactCorrupt
from discreet.federated import TrainConfig

ROOT = Path(__file__).parents[2]


def test_the_kits_apps_are_those_of_the_checkout() -> None:
    app = kit_app()
    assert app["clients/app.py"] == (ROOT / "clients" / "app.py").read_bytes()
    assert app["server/app.py"] == (ROOT / "server" / "app.py").read_bytes()


def test_a_bundle_holds_the_two_apps_and_the_whole_plan() -> None:
    plan = TrainConfig(examples_per_user=4, unit="user", dirichlet_alpha=0.5).as_mapping()
    made = build(kit_app(), plan)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert set(files) == {*kit_app(), ".info/CONTENT"}
    found = bundle.tomllib.loads(files["pyproject.toml"].decode())
    assert TrainConfig.from_run_config(found["tool"]["flwr"]["app"]["config"]).as_mapping() == plan
    assert build(kit_app(), plan) == made


def test_data_beside_an_app_stay_where_they_are(tmp_path: Path) -> None:
    for name, data in {**tiny_app(), "patients.jsonl": b"Jane", "tiny/notes.md": b"Jane"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert read_app(tmp_path) == tiny_app()


def test_what_is_no_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactCorrupt, match=r"pyproject\.toml"):
        read_app(tmp_path)
    for project in (b"", b"[project]\nname = 'x'", b"]["):
        with pytest.raises(ArtifactCorrupt, match="Flower app"):
            build({**tiny_app(), "pyproject.toml": project}, {})


def test_the_module_example_runs() -> None:
    import doctest

    assert doctest.testmod(bundle).failed == 0
