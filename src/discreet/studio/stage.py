"""Draw surfaces off-screen, without a display; the one file that imports VTK.

A stage keeps its window, shaders, meshes and textures for the life of the process and shows only
what it is given. Every picture takes three passes: depth as the key light sees it (shadows), depth
as the camera sees it (light hidden by what is near), and the picture.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from discreet.figures import Floats, Pixels, Surface, Value
from discreet.studio.shading import FRAGMENT, OUTLINE, VERTEX

SHADOW_PX = 320
"""Side of the depth map of the key light."""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A camera: where it is, what it looks at, how much it sees."""

    position: npt.NDArray[np.float64]
    focus: npt.NDArray[np.float64]
    height: float
    """Height of what is seen at the focus, in decimetres."""
    near: float
    far: float
    parallel: bool = False

    @property
    def distance(self) -> float:
        """Return how far the focus is, in decimetres."""
        return float(np.linalg.norm(self.position - self.focus))

    @property
    def tan_half(self) -> float:
        """Return the tangent of half the view's angle."""
        return self.height / 2 / self.distance


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mesh:
    data: Any
    lit: Any
    outline: Any


class Stage:
    """An off-screen window with the meshes and textures made so far."""

    def __init__(self) -> None:
        try:
            import vtkmodules.vtkRenderingOpenGL2
            from vtkmodules import vtkCommonCore, vtkRenderingCore
        except ImportError as error:
            raise ImportError(
                'Expected VTK, which draws, found none. Run pip install "discreet[people]".'
            ) from error
        # One thread to a process in Mesa's software driver; processes share out the cores.
        os.environ.setdefault("LP_NUM_THREADS", "0")
        self._gl, self._core, self._common = (
            vtkmodules.vtkRenderingOpenGL2, vtkRenderingCore, vtkCommonCore,
        )  # fmt: skip
        with _quiet(vtkCommonCore):
            self._window: Any = vtkRenderingCore.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.SetAlphaBitPlanes(1)
        self._renderer = vtkRenderingCore.vtkRenderer()
        self._renderer.SetBackgroundAlpha(0.0)
        self._renderer.SetUseDepthPeeling(False)
        self._window.AddRenderer(self._renderer)
        with _quiet(vtkCommonCore):
            self._window.SetSize(64, 64)
            self._window.Render()
        self._meshes: dict[str, _Mesh] = {}
        self._textures: dict[str, Any] = {}
        self._maps = {name: self._blank_map() for name in ("shadowMap", "depthMap")}

    def add_texture(self, name: str, pixels: Pixels) -> None:
        """Keep an image (H, W, 3 or 4), its first row at the top, under a name."""
        flipped = np.ascontiguousarray(pixels[::-1])
        image = self._image(flipped)
        texture = self._core.vtkTexture()
        texture.SetInputData(image)
        texture.SetColorModeToDirectScalars()
        texture.MipmapOn()
        texture.InterpolateOn()
        # Mesa's software driver can loop for minutes on anisotropic reads of edge-on hair.
        texture.SetMaximumAnisotropicFiltering(1)
        self._textures[name] = texture

    def draw(
        self,
        surfaces: Sequence[Surface],
        *,
        view: View,
        light: View,
        values: Mapping[str, Value],
        side_px: int,
    ) -> Pixels:
        """Return the picture (side, side, 4), RGBA; alpha is 0 where nothing is.

        Args:
            surfaces: What is drawn.
            view: The camera.
            light: The key light, as a camera.
            values: Uniforms that all shaders share: colours and directions of light.
            side_px: Side of the picture.
        """
        self._place(surfaces)
        self._fill_map("shadowMap", self._depth(surfaces, light, SHADOW_PX))
        self._fill_map("depthMap", self._depth(surfaces, view, side_px))
        self._share(surfaces, view, light, values, side_px)
        self._shoot(surfaces, view, side_px, lit=True, keep_depth=True)
        return self._read(side_px)

    def draw_masks(self, surfaces: Sequence[Surface], *, view: View, side_px: int) -> Pixels:
        """Return (side, side, 4): each surface in its own `mask` colour, unlit."""
        self._place(surfaces)
        self._shoot(surfaces, view, side_px, lit=False)
        return self._read(side_px)

    def _place(self, surfaces: Sequence[Surface]) -> None:
        for surface in surfaces:
            mesh = self._mesh(surface)
            for target, values in (
                (mesh.data.GetPoints().GetData(), surface.points),
                (mesh.data.GetPointData().GetNormals(), surface.normals),
            ):
                _view(target)[:] = values
                target.Modified()
            mesh.data.GetPoints().Modified()
            mesh.data.Modified()
            for actor in (mesh.lit, mesh.outline):
                for sampler, name in surface.textures.items():
                    if actor.GetProperty().GetTexture(sampler) is not self._textures[name]:
                        actor.GetProperty().RemoveTexture(sampler)
                        actor.GetProperty().SetTexture(sampler, self._textures[name])
            _set_all(mesh.lit, surface.values)
            _set_all(mesh.outline, {**surface.values, "maskColour": surface.mask})

    def _share(
        self, surfaces: Sequence[Surface], view: View, light: View,
        values: Mapping[str, Value], side_px: int,
    ) -> None:  # fmt: skip
        shared: dict[str, Value] = {
            **values,
            "eyeAt": tuple(view.position),
            "screen": (float(side_px), float(side_px)),
            "tanHalf": view.tan_half,
            "clip": (view.near, view.far),
            "shadowTexel": 1.0 / SHADOW_PX,
            "shadowBias": light.height / SHADOW_PX / (light.far - light.near),
            "shadowMatrix": _into_unit_cube(light),
            "viewMatrix": _view_matrix(view),
        }
        for surface in surfaces:
            _set_all(self._meshes[surface.key].lit, shared)

    def _depth(self, surfaces: Sequence[Surface], view: View, side_px: int) -> Floats:
        self._shoot(surfaces, view, side_px, lit=False)
        values = self._common.vtkFloatArray()
        self._window.GetZbufferData(0, 0, side_px - 1, side_px - 1, values)
        return _view(values).reshape(side_px, side_px).copy()

    def _shoot(
        self, surfaces: Sequence[Surface], view: View, side_px: int, *, lit: bool,
        keep_depth: bool = False,
    ) -> None:  # fmt: skip
        """Draw into the window.

        Args:
            surfaces: What is drawn.
            view: The camera.
            side_px: Side of the window.
            lit: With light, or only outlines for depth and masks.
            keep_depth: Start from the depth that is there, which spares light on hidden surfaces.
        """
        shown = self._renderer.GetViewProps()
        shown.RemoveAllItems()  # in the order of `surfaces`: of two at one depth, the last is seen
        for surface in surfaces:
            mesh = self._meshes[surface.key]
            shown.AddItem(mesh.lit if lit else mesh.outline)
        self._renderer.SetPreserveDepthBuffer(keep_depth)
        camera = self._renderer.GetActiveCamera()
        camera.SetPosition(*view.position)
        camera.SetFocalPoint(*view.focus)
        camera.SetViewUp(*_up(view))
        camera.SetParallelProjection(view.parallel)
        camera.SetParallelScale(view.height / 2)
        camera.SetViewAngle(float(np.rad2deg(2 * np.arctan(view.tan_half))))
        camera.SetClippingRange(view.near, view.far)
        self._window.SetSize(side_px, side_px)
        self._window.Render()

    def _read(self, side_px: int) -> Pixels:
        data: Any = self._common.vtkUnsignedCharArray()
        self._window.GetRGBACharPixelData(0, 0, side_px - 1, side_px - 1, 0, data)
        return _view(data).reshape(side_px, side_px, 4)[::-1].copy()

    def _mesh(self, surface: Surface) -> "_Mesh":
        if surface.key not in self._meshes:
            data = self._polydata(surface)
            lit = self._actor(data, FRAGMENT[surface.material])
            for name, texture in self._maps.items():
                lit.GetProperty().SetTexture(name, texture)
            outline = self._actor(data, OUTLINE[surface.material])
            self._meshes[surface.key] = _Mesh(data=data, lit=lit, outline=outline)
        return self._meshes[surface.key]

    def _actor(self, data: Any, fragment: str) -> Any:
        mapper = self._gl.vtkOpenGLPolyDataMapper()
        mapper.SetInputData(data)
        mapper.ScalarVisibilityOff()
        mapper.MapDataArrayToVertexAttribute("restMC", "rest", 0, -1)
        actor = self._core.vtkActor()
        actor.SetMapper(mapper)
        actor.ForceOpaqueOn()
        actor.GetShaderProperty().SetVertexShaderCode(VERTEX)
        actor.GetShaderProperty().SetFragmentShaderCode(fragment)
        return actor

    def _polydata(self, surface: Surface) -> Any:
        from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
        from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

        part, mesh = surface.part, vtkPolyData()
        points = self._common.vtkPoints()
        points.SetData(numpy_to_vtk(np.zeros((len(part.corners), 3), np.float32), deep=True))
        mesh.SetPoints(points)
        cells, cells_of = vtkCellArray(), np.insert(part.triangles, 0, 3, axis=1).ravel()
        cells.ImportLegacyFormat(numpy_to_vtkIdTypeArray(cells_of.astype(np.int64), deep=True))
        mesh.SetPolys(cells)
        data = mesh.GetPointData()
        normals = numpy_to_vtk(np.zeros((len(part.corners), 3), np.float32), deep=True)
        normals.SetName("normals")
        data.SetNormals(normals)
        coordinates = numpy_to_vtk(part.texture_coordinates.astype(np.float32), deep=True)
        coordinates.SetName("uv")
        data.SetTCoords(coordinates)
        rest = numpy_to_vtk(surface.rest.astype(np.float32), deep=True)
        rest.SetName("rest")
        data.AddArray(rest)
        return mesh

    def _image(self, pixels: npt.NDArray[Any]) -> Any:
        from vtkmodules.util.numpy_support import numpy_to_vtk
        from vtkmodules.vtkCommonDataModel import vtkImageData

        image = vtkImageData()
        image.SetDimensions(pixels.shape[1], pixels.shape[0], 1)
        flat = pixels.reshape(pixels.shape[0] * pixels.shape[1], -1)
        image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
        return image

    def _blank_map(self) -> Any:
        texture = self._core.vtkTexture()
        texture.SetInputData(self._image(np.full((2, 2, 4), 255, np.uint8)))
        texture.SetColorModeToDirectScalars()
        texture.MipmapOff()
        texture.InterpolateOff()
        texture.RepeatOff()
        texture.EdgeClampOn()
        return texture

    def _fill_map(self, name: str, depth: Floats) -> None:
        """Hand over depths in [0, 1] as 24 bits in three bytes; VTK cuts floats to eight."""
        packed = (depth.astype(np.float64) * (2**24 - 1)).astype("<u4")
        self._maps[name].SetInputData(self._image(packed.view(np.uint8).reshape(*depth.shape, 4)))


def _into_unit_cube(view: View) -> npt.NDArray[np.float64]:
    """Return the matrix (4, 4) from a place to where a parallel view sees it, in [0, 1]."""
    matrix = _view_matrix(view)
    scale = np.diag([1 / view.height, 1 / view.height, -1 / (view.far - view.near), 1.0])
    scale[:3, 3] = 0.5, 0.5, -view.near / (view.far - view.near)
    product: npt.NDArray[np.float64] = scale @ matrix
    return product


def _view_matrix(view: View) -> npt.NDArray[np.float64]:
    """Return the matrix (4, 4) from a place to the camera's axes: right, up, backwards."""
    back = (view.position - view.focus) / view.distance
    right = np.cross(_up(view), back)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(back, right), back])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, -axes @ view.position
    return matrix


def _up(view: View) -> tuple[float, float, float]:
    back = (view.position - view.focus) / view.distance
    return (0.0, 0.0, -1.0) if abs(back[1]) > 0.99 else (0.0, 1.0, 0.0)


def _set_all(actor: Any, values: Mapping[str, Value]) -> None:
    uniforms = actor.GetShaderProperty().GetFragmentCustomUniforms()
    for name, value in values.items():
        if isinstance(value, int):
            uniforms.SetUniformi(name, value)
        elif isinstance(value, float | np.floating):
            uniforms.SetUniformf(name, float(value))
        elif isinstance(value, np.ndarray):
            uniforms.SetUniformMatrix4x4(name, value.T.ravel().tolist())
        elif len(value) == 2:
            uniforms.SetUniform2f(name, [float(v) for v in value])
        elif len(value) == 3:
            uniforms.SetUniform3f(name, [float(v) for v in value])
        else:
            uniforms.SetUniform4f(name, [float(v) for v in value])


def _view(array: Any) -> npt.NDArray[Any]:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    seen: npt.NDArray[Any] = vtk_to_numpy(array)
    return seen


@contextmanager
def _quiet(common: Any) -> Iterator[None]:
    """Silence VTK's note that there is no display before it turns to off-screen drawing."""
    usual = common.vtkLogger.GetCurrentVerbosityCutoff()
    common.vtkLogger.SetStderrVerbosity(common.vtkLogger.VERBOSITY_ERROR)
    try:
        yield
    finally:
        common.vtkLogger.SetStderrVerbosity(usual)
