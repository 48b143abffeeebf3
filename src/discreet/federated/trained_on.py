"""Which data a run was trained on, so that an audit of other data is refused and no audit of none.

A run's folder keeps a salted hash of the file, which tells those apart who have the file and tells
nobody else anything. It is for audits on this device: no export has it.

    seal_data(run, Path("people.parquet"))
    require_trained_on(run, Path("people.parquet"))
"""

import hashlib
import secrets
from pathlib import Path

from discreet.artifacts import RunFolder, sha256_of_file, write_json
from discreet.errors import ArtifactCorrupt, DataError

FILE = "trained_on.json"
PACKAGED = "packaged"
"""In place of a hash: what ships was shared out."""


def seal_data(run: RunFolder, path: Path | None) -> None:
    """Keep which file a run is trained on; None: what ships. What was kept before stays.

    Args:
        run: The run.
        path: The file whose examples are shared out.
    """
    if (run.path / FILE).exists():
        return
    salt = secrets.token_hex(16)
    digest = PACKAGED if path is None else _digest(salt, path)
    write_json(run.path / FILE, {"salt": salt, "sha256": digest})


def require_trained_on(run: RunFolder, path: Path | None) -> bool:
    """Refuse another file than the one that a run was trained on.

    Returns:
        Whether the run says what it was trained on; False: it is older, and any file is taken.

    Raises:
        DataError: if it is another file.
        ArtifactCorrupt: if the record is damaged.
    """
    if not (run.path / FILE).exists():
        return False
    record = run.read_json(FILE)
    if not isinstance(record, dict) or not {"salt", "sha256"} <= record.keys():
        raise ArtifactCorrupt(
            f"Expected a salt and a hash in '{FILE}' of run '{run.id}', got another form. Take "
            "the file away: audits then believe what --data names."
        )
    given = PACKAGED if path is None else _digest(str(record["salt"]), path)
    if given != record["sha256"]:
        is_packaged = record["sha256"] == PACKAGED
        raise DataError(
            "Expected the data that the run was trained on, got "
            + ("a file" if path is not None else "none")
            + (
                ": it was trained on the people who ship. Leave out --data."
                if is_packaged
                else ": name its own file with --data, unchanged."
            )
        )
    return True


def _digest(salt: str, path: Path) -> str:
    return hashlib.sha256(f"{salt} {sha256_of_file(path)}".encode()).hexdigest()
