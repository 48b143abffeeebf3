"""A folder for what Gradio may write: private, in memory where there is such a place, swept.

The pages write nothing themselves. Whatever a library puts there goes when the process ends, and
what a killed process left goes when the next one starts.

>>> with private_folder() as folder:
...     oct(folder.stat().st_mode & 0o777)
'0o700'
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_MEMORY = Path("/dev/shm")
_PREFIX = "discreet-pages-"


@contextmanager
def private_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yield a folder that only this user may enter; it is gone afterwards.

    Args:
        parent: Where it is made; a place in memory by default, or else that of temporary files.
    """
    where = parent or (IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    sweep(where)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(where: Path) -> None:
    """Remove what processes left that were killed; folders of others and of the living stay."""
    for folder in where.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not owner.isdecimal() or folder.is_symlink() or folder.stat().st_uid != os.getuid():
            continue
        if not _is_alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
