import platformdirs
import pytest

from discreet.errors import DataError
from discreet.people import Assets, open_assets
from discreet.people.assets import assets_folder


@pytest.fixture(scope="session")
def assets() -> Assets:
    pytest.importorskip("pyvista", reason="needs the `people` extra (pyvista)")
    try:
        return open_assets(assets_folder(platformdirs.user_cache_path("discreet") / "people"))
    except DataError:
        pytest.skip("needs the MakeHuman assets; fetch_assets puts them into the user's cache")
