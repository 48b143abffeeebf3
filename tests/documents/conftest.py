"""Evidence that really was: the shipped run, its policies and texts, and results of benchmarks."""

import shutil
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from discreet.artifacts import RunFolder, write_toml
from discreet.assistant import load_policy
from discreet.consent import load_notice
from discreet.documents import Document, Evidence, gather, write_document
from discreet.perception import PERCEIVER_PATH
from discreet.registry import REFERENCE_DIR
from discreet.types import Language

ROOT = Path(__file__).parents[2]
RESULTS = (ROOT / "docs" / "results", PERCEIVER_PATH.parent)
TODAY = date(2026, 11, 22)
MANIFEST = {
    "schema": 1,
    "declared": {
        "name": "portraits of the ward",
        "origin": "a camera in the hall",
        "licence": "unknown",
        "legal_basis": "explicit consent",
        "consent": "on paper, kept by the ward",
        "purpose": "fit answers to people",
    },
    "date": "2026-11-20",
    "layout": "portraits",
    "counts": {"records": 40, "people": 10, "files": 41},
    "balance": {"age_band": {"child": 10, "older_adult": 30}},
    "gaps": ["child, sad"],
    "problems": {"unreadable": 2},
}
"""Of a data set, as `discreet data check --write` writes it, as far as documents read it."""

Gather = Callable[..., Evidence]


def write(kind: str, evidence: Evidence) -> Document:
    return write_document(kind, evidence, today=TODAY)


@cache
def shipped(context: str, language: Language) -> Evidence:
    """Evidence of the shipped run with all results there are."""
    return gather(
        RunFolder(REFERENCE_DIR),
        load_policy(context),
        load_notice(context, language),
        language=language,
        folders=RESULTS,
    )


@pytest.fixture
def copy(tmp_path: Path) -> RunFolder:
    """A run folder with all its evidence in it, which a test may change."""
    run = RunFolder(tmp_path / "reference")
    shutil.copytree(REFERENCE_DIR, run.path)
    run.audits_dir.mkdir()
    for name in ("adapt", "ground", "probes", "twins"):
        shutil.copy(RESULTS[0] / f"{name}.json", run.audits_dir)
    shutil.copy(PERCEIVER_PATH.with_suffix(".json"), run.audits_dir)
    write_toml(run.audits_dir / "manifest.toml", MANIFEST)
    return run


@pytest.fixture
def gather_en() -> Gather:
    """Gather evidence of a run folder and nothing else, in English."""

    def of(run: RunFolder) -> Evidence:
        notice = load_notice("healthcare", "en")
        return gather(run, load_policy("healthcare"), notice, language="en")

    return of
