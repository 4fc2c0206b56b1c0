"""One photograph: a coat, posed, lit, set into a scene and taken by a camera, with the exact map behind
it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple

import numpy as np

from . import occluders
from .camera import Light, add_haze, contact_shadow, draw_light, expose, shade, surface_normals
from .coats import Coat
from .fields import mix, resize_field, sample_bilinear, turn_image, turned_size
from .poses import Pose, draw_pose
from .scenery import HABITATS, SCENES

FRAMES = {
    "striped_horse": (4 / 3, 5 / 4, 3 / 2),
    "spotted_cat": (3 / 2, 4 / 3, 16 / 9),
    "star_shark": (16 / 9, 3 / 2),
    "ridge_whale": (3 / 2, 16 / 9),
}
"""Width over height of the photographs of each species."""

COAT_NODES = 128
"""Samples per side at which visibility is stored in the coat plane, at ((i + 0.5) / 128)."""


@dataclass(frozen=True)
class Box:
    """An annotation's box before turning, in pixels, and its turn in radians about the box centre."""

    x: int
    y: int
    w: int
    h: int
    theta: float


@dataclass(frozen=True)
class Photograph:
    """A photograph and all that is known about it.

    Attributes:
        image: RGB uint8 [H, W, 3].
        pose: the transform; `pose.control_grid()` is what is stored.
        coat_mask: bool [128, 128], [v, u]: this coat point exists on the body.
        visible: bool [128, 128], [v, u]: it is inside the frame and nothing hides it.
        mask: bool [H, W]: this pixel shows the animal.
        box: the annotation.
        attributes: nuisance labels and figures, ready for `attributes.csv`.
    """

    image: np.ndarray
    pose: Pose
    coat_mask: np.ndarray
    visible: np.ndarray
    mask: np.ndarray
    box: Box
    attributes: Dict[str, str]


def coat_coordinates(pose: Pose, width: int, height: int, stride: int = 4) -> Tuple[np.ndarray, np.ndarray]:
    """Coat coordinates (u, v) of every pixel centre: solved on every `stride`-th, bicubic between them, and
    brought home by one Newton step."""
    columns, rows = width // stride + 3, height // stride + 3
    x, y = np.meshgrid((np.arange(columns) - 1) * stride + 0.5, (np.arange(rows) - 1) * stride + 0.5)
    coarse = pose.invert(x, y)
    size = ((rows - 1) * stride + stride, (columns - 1) * stride + stride)
    out = []
    for field in coarse:
        fine = resize_field(field, size)
        # Coarse sample i sits at fine index stride * i + (stride - 1) / 2, and at pixel stride * (i - 1).
        row = np.arange(height) + stride + (stride - 1) / 2
        column = np.arange(width) + stride + (stride - 1) / 2
        grid_x, grid_y = np.meshgrid(column, row)
        out.append(sample_bilinear(fine[..., None], grid_x, grid_y)[..., 0])
    u, v = out[0].astype(np.float64), out[1].astype(np.float64)
    on_plane = (u > -0.02) & (u < 1.02) & (v > -0.02) & (v < 1.02)
    rows_on, columns_on = np.nonzero(on_plane)
    u[on_plane], v[on_plane] = pose.newton_step(u[on_plane], v[on_plane], columns_on + 0.5, rows_on + 0.5)
    return u, v


def fit_box(mask: np.ndarray, theta: float, rng: np.random.Generator) -> Box:
    """The box that an annotator would draw: tight in the frame turned by theta, loose by a few per cent.

    A box with theta 0 stays inside the photograph; a turned one may overhang it by its corners.
    """
    rows, columns = np.nonzero(mask)
    cos, sin = np.cos(theta), np.sin(theta)
    x, y = columns + 0.5, rows + 0.5
    along, across = cos * x + sin * y, cos * y - sin * x
    a0, a1, b0, b1 = along.min(), along.max(), across.min(), across.max()
    loose = rng.uniform(-0.005, 0.045, 4) * (a1 - a0, a1 - a0, b1 - b0, b1 - b0)
    a0, a1, b0, b1 = a0 - loose[0], a1 + loose[1], b0 - loose[2], b1 + loose[3]
    middle_a, middle_b = (a0 + a1) / 2, (b0 + b1) / 2
    cx, cy = cos * middle_a - sin * middle_b, sin * middle_a + cos * middle_b
    left, top = int(round(cx - (a1 - a0) / 2)), int(round(cy - (b1 - b0) / 2))
    right, bottom = left + int(round(a1 - a0)), top + int(round(b1 - b0))
    if theta == 0.0:
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, mask.shape[1]), min(bottom, mask.shape[0])
    return Box(x=left, y=top, w=right - left, h=bottom - top, theta=round(float(theta), 4))


def viewpoint(pose: Pose) -> str:
    """The word of the Wildbook vocabulary for how the animal stands to the camera."""
    if pose.species == "ridge_whale":
        return "back"
    side = "right" if pose.mirror else "left"
    if pose.yaw > 0.35:
        return "front" + side
    return "back" + side if pose.yaw < -0.35 else side


UPRIGHT = {"striped_horse": 1.0, "spotted_cat": 1.0, "star_shark": 0.25, "ridge_whale": 0.6}
"""How much of the animal's tilt in the photograph is the camera's, so that the scene is tilted with it."""


@dataclass(frozen=True)
class Stage:
    """The frame of a photograph and the upright, larger frame in which its scene is drawn."""

    size: Tuple[int, int]
    tilt: float

    def tilted(self, draw: Callable[[Tuple[int, int]], np.ndarray]) -> np.ndarray:
        """Draw an image on the upright frame and cut the photograph's frame out of it."""
        if abs(self.tilt) < 0.01:
            return draw(self.size)
        return turn_image(draw(turned_size(self.size, self.tilt)), self.tilt, self.size)

    def level(self, x: float, y: float) -> float:
        """Height of a photograph pixel in the upright frame, as a share of that frame's height."""
        upright = turned_size(self.size, self.tilt) if abs(self.tilt) >= 0.01 else self.size
        dx, dy = x - self.size[1] / 2, y - self.size[0] / 2
        return float((np.cos(self.tilt) * dy - np.sin(self.tilt) * dx) / upright[0] + 0.5)


def _layer(stage: Stage, draw: Callable[[Tuple[int, int]], occluders.Layer]) -> occluders.Layer:
    both = stage.tilted(
        lambda size: np.concatenate([a if a.ndim == 3 else a[..., None] for a in draw(size)], -1)
    )
    return both[..., :3], both[..., 3]


def _feet(pose: Pose, stage: Stage) -> float:
    foot = {"striped_horse": 0.925, "spotted_cat": 0.915}[pose.species]
    u, v = np.array([0.36, 0.7]), np.array([foot, foot])
    return max(stage.level(x, y) for x, y in zip(*pose.project(u, v)))


def _cover(
    rng: np.random.Generator, pose: Pose, stage: Stage, background: np.ndarray, hardness: float
) -> Tuple[List[occluders.Layer], str]:
    """Layers in front of the animal and the names of those that count as an occlusion."""
    layers, names = [], []
    if pose.species == "ridge_whale":
        x, y = pose.project(np.array(0.5), np.array(rng.uniform(0.72, 0.96 - 0.16 * hardness)))
        level = float(np.clip(stage.level(float(x), float(y)), 0.3, 0.97))
        layers.append(_layer(stage, lambda size: occluders.water_line(rng, size, level)))
        names.append("water_line")
    if pose.species in ("striped_horse", "spotted_cat"):
        level = _feet(pose, stage)
        tint = background[int(0.85 * len(background)) :].mean((0, 1))
        layers.append(_layer(stage, lambda size: occluders.verge(rng, size, level, tint)))
    if rng.random() < 0.22 + 0.6 * hardness:
        kind = str(rng.choice(occluders.KINDS[pose.species]))
        amount = float(rng.uniform(0.1, 0.35 + 0.6 * hardness))
        layers.append(_layer(stage, lambda size: occluders.LAYERS[kind](rng, size, amount)))
        names.append(kind)
    return layers, ";".join(names) or "none"


def _render(
    coat: Coat, pose: Pose, light: Light, background: np.ndarray, stage: Stage, rng: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray]:
    """The lit animal in front of its background, and its cover (alpha)."""
    height, width = stage.size
    u, v = coat_coordinates(pose, width, height)
    stack = np.concatenate(
        [coat.albedo, coat.alpha[..., None], surface_normals(coat), coat.far[..., None]], -1
    )
    read = sample_bilinear(stack, u * stack.shape[1] - 0.5, v * stack.shape[0] - 0.5)
    alpha = read[..., 3] * ((u > 0) & (u < 1) & (v > 0) & (v < 1))
    animal = shade(read[..., :3], read[..., 4:6], read[..., 6], light, pose, rng)
    if coat.species in ("striped_horse", "spotted_cat"):
        shadow = stage.tilted(lambda size: contact_shadow(turn_image(alpha, -stage.tilt, size), light))
        background = background * (1 - shadow)[..., None]
    return mix(background, add_haze(animal, background, light.haze), alpha), alpha


def _faults(rng: np.random.Generator, hardness: float, width: int) -> Tuple[float, float, float]:
    """Defocus and motion blur in pixels of a photograph `width` wide, and noise in 0..1."""
    blur = rng.uniform(0, 0.0009)
    if rng.random() < 0.25 + 0.3 * hardness:
        blur += rng.uniform(0, 0.0038) * (0.4 + hardness)
    streak = rng.uniform(0.003, 0.013) if rng.random() < 0.12 + 0.2 * hardness else 0.0
    return float(blur) * width, float(streak) * width, float(rng.uniform(0.004, 0.014 + 0.03 * hardness))


def take(coat: Coat, seed: Tuple[int, ...], longer_side: int, hardness: float, mirror: bool) -> Photograph:
    """Photograph an animal.

    Args:
        coat: the individual, from `paint_coat`.
        seed: seeds of this photograph alone; the same seed gives the same photograph.
        longer_side: pixels of the photograph's longer side.
        hardness: 0 (easy) to 1 (hard).
        mirror: show the right side instead of the left.
    """
    rng = np.random.default_rng(seed)
    width = longer_side
    size = (int(round(width / float(rng.choice(FRAMES[coat.species])))), width)
    pose = draw_pose(rng, coat.species, (width, size[0]), hardness, mirror)
    light = draw_light(rng, coat.species, hardness)
    scene = str(rng.choice(HABITATS[coat.species]))
    roll = -pose.roll if mirror else pose.roll
    stage = Stage(size=size, tilt=roll * UPRIGHT[coat.species])
    background = stage.tilted(lambda frame: SCENES[scene](rng, frame))
    image, alpha = _render(coat, pose, light, background, stage, rng)
    layers, occlusion = _cover(rng, pose, stage, background, hardness)
    hidden = np.zeros(size, np.float32)
    for colour, cover in layers:
        image = mix(image, colour * (0.35 + 0.65 * min(light.key + light.fill, 1.0)), cover)
        hidden = np.maximum(hidden, cover)
    blur, streak, noise = _faults(rng, hardness, width)
    picture = expose(image, light, blur, streak, noise, rng)
    coat_mask, visible = coat_visibility(coat, pose, hidden)
    theta = 0.0 if abs(roll) < 0.08 else roll + float(rng.normal(0, 0.01))
    seen = (alpha > 0.5) & (hidden < 0.9) if coat.species == "ridge_whale" else alpha > 0.5
    attributes = {
        "viewpoint": viewpoint(pose),
        "background": scene,
        "occlusion": occlusion,
        "occluded_fraction": f"{1 - visible.sum() / max(1, coat_mask.sum()):.3f}",
        "blur_px": f"{blur:.2f}",
        "motion_px": f"{streak:.2f}",
        "noise_sd": f"{noise:.4f}",
        "roll": f"{roll:.3f}",
        "hardness": f"{hardness:.2f}",
        "yaw": f"{pose.yaw:.3f}",
        **light.labels,
    }
    return Photograph(
        image=picture,
        pose=pose,
        coat_mask=coat_mask,
        visible=visible,
        mask=(alpha > 0.5) & (hidden < occluders.COVERED),
        attributes=attributes,
        box=fit_box(seen if seen.any() else alpha >= alpha.max(), theta, rng),
    )


def coat_visibility(coat: Coat, pose: Pose, hidden: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Which of 128 x 128 coat points lie on the body, and which of those the photograph shows."""
    node = (np.arange(COAT_NODES) + 0.5) / COAT_NODES
    u, v = np.meshgrid(node, node)
    alpha = sample_bilinear(
        coat.alpha[..., None], u * coat.alpha.shape[1] - 0.5, v * coat.alpha.shape[0] - 0.5
    )[..., 0]
    x, y = pose.project(u, v)
    height, width = hidden.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    covered = sample_bilinear(hidden[..., None], x - 0.5, y - 0.5)[..., 0] >= occluders.COVERED
    on_body = alpha > 0.5
    return on_body, on_body & inside & ~covered
