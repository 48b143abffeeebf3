import numpy as np

from discreet.figures.body import Part
from discreet.figures.surface import MASKS, Normals

CORNERS = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32
)
OCTAHEDRON = Part(
    corners=np.arange(6),
    texture_coordinates=np.zeros((6, 2), np.float32),
    triangles=np.array(
        [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    ),
)


def test_normals_of_an_octahedron_point_away_from_its_centre() -> None:
    np.testing.assert_allclose(Normals(OCTAHEDRON)(CORNERS), CORNERS, atol=1e-6)


def test_vertices_of_no_triangle_have_no_normal() -> None:
    more = np.concatenate([CORNERS, [[5, 5, 5]]]).astype(np.float32)
    normals = Normals(OCTAHEDRON)(more)
    np.testing.assert_allclose(normals[:6], CORNERS, atol=1e-6)
    assert not normals[6].any()


def test_normals_do_not_depend_on_size() -> None:
    normals = Normals(OCTAHEDRON)
    np.testing.assert_allclose(normals(CORNERS * 7), normals(CORNERS), atol=1e-6)


def test_masks_can_be_told_apart() -> None:
    assert len(set(MASKS.values())) == len(MASKS)
    assert all(set(colour) <= {0.0, 1.0} for colour in MASKS.values())
