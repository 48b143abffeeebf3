from tests.figures.conftest import assets

__all__ = ["assets"]
