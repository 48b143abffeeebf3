import numpy as np
import pytest

from discreet.figures import Surface
from discreet.figures.body import Part
from discreet.studio.shading import FRAGMENT, OUTLINE
from discreet.studio.stage import Stage, View, _into_unit_cube, _view_matrix

VIEW = View(
    position=np.array([3.0, 2.0, 9.0]), focus=np.array([0.0, 1.0, 0.0]), height=4.0, near=5.0,
    far=14.0,
)  # fmt: skip


def test_every_material_can_be_drawn_and_outlined() -> None:
    assert set(FRAGMENT) == set(OUTLINE)


def test_the_camera_sees_its_focus_straight_ahead() -> None:
    matrix = _view_matrix(VIEW)
    np.testing.assert_allclose(matrix @ [*VIEW.focus, 1], [0, 0, -VIEW.distance, 1], atol=1e-9)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)
    assert matrix[1, 1] > 0.9  # up stays up


def test_the_shadow_map_holds_what_the_light_sees() -> None:
    cube = _into_unit_cube(VIEW)
    np.testing.assert_allclose((cube @ [*VIEW.focus, 1])[:2], 0.5, atol=1e-9)
    ray = (VIEW.focus - VIEW.position) / VIEW.distance
    for depth, expected in ((VIEW.near, 0.0), (VIEW.far, 1.0)):
        place = VIEW.position + depth * ray
        assert (cube @ [*place, 1])[2] == pytest.approx(expected, abs=1e-9)


@pytest.mark.people
def test_the_nearer_of_two_surfaces_is_seen() -> None:
    pytest.importorskip("vtkmodules", reason="needs the `people` extra (VTK)")
    view = View(position=np.array([0.0, 0, 10]), focus=np.zeros(3), height=2.0, near=5.0, far=15.0)
    square = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    part = Part(
        corners=np.arange(4),
        texture_coordinates=np.zeros((4, 2), np.float32),
        triangles=np.array([[0, 1, 2], [0, 2, 3]]),
    )
    stage = Stage()
    surfaces = [
        Surface(
            key=f"square {depth}", part=part, points=0.5 * size * square + [0, 0, depth],
            normals=np.tile(np.array([0, 0, 1], np.float32), (4, 1)), rest=square,
            material="mouth", textures={}, mask=mask,
        )
        for depth, size, mask in ((0.0, 2.0, (1.0, 0.0, 0.0)), (1.0, 0.5, (0.0, 1.0, 0.0)))
    ]  # fmt: skip
    seen = stage.draw_masks(surfaces, view=view, side_px=40)
    assert tuple(seen[20, 20]) == (0, 255, 0, 255)
    assert tuple(seen[4, 4]) == (255, 0, 0, 255)
    assert tuple(stage.draw_masks(surfaces[:1], view=view, side_px=40)[20, 20])[:2] == (255, 0)
