import platformdirs
import pytest

from discreet.errors import DataError
from discreet.figures import Assets, fetch_assets


@pytest.fixture(scope="session")
def assets() -> Assets:
    """The MakeHuman assets from the user's cache, fetched once for each machine."""
    pytest.importorskip("vtkmodules", reason="needs the `people` extra (VTK)")
    try:
        return fetch_assets(platformdirs.user_cache_path("discreet") / "people")
    except DataError as error:
        pytest.skip(f"needs the MakeHuman assets: {error}")
