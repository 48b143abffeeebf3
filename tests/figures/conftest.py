import platformdirs
import pytest

from discreet.errors import DataError
from discreet.figures import Assets, assets_folder, open_assets


@pytest.fixture(scope="session")
def assets() -> Assets:
    pytest.importorskip("vtkmodules", reason="needs the `people` extra (VTK)")
    try:
        return open_assets(assets_folder(platformdirs.user_cache_path("discreet") / "people"))
    except DataError:
        pytest.skip("needs the MakeHuman assets; fetch_assets puts them into the user's cache")
