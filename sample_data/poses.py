"""Pose and camera: the smooth map that carries coat coordinates (u, v) to photograph pixels (x, y).

The map is a composition of an articulation in the coat plane (bent spine, raised head, swinging legs or
tail, a small smooth deformation), a turn away from the camera (foreshortening with perspective) and the
camera's roll, scale and shift. Pixel coordinates have their origin at the photograph's top-left corner; the
first pixel's centre is (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Tuple

import numpy as np

from .fields import bump
from .silhouettes import ASPECTS

GRID_NODES = 41
"""Nodes per side of the stored control grid."""


@dataclass(frozen=True)
class Pose:
    """One photograph's pose and camera.

    Attributes:
        species: decides which parts move.
        bend: curvature of the spine (sharks: of the tail), in plane heights.
        head: vertical movement of head and neck (fluke: of the tips).
        fore, hind: swing of fore and hind limbs.
        waves: [4, 5] small smooth deformation: amplitude x and y, frequencies and phase of four waves.
        yaw: turn of the animal away from the camera, radians; positive brings the head nearer.
        pitch: tilt seen from above, radians.
        roll: camera roll, radians, clockwise in the photograph.
        scale: pixels per plane height.
        centre: where the middle of the plane lands, pixels.
        mirror: the photograph's width in pixels where the picture is flipped left to right, else 0.
    """

    species: str
    bend: float
    head: float
    fore: float
    hind: float
    waves: np.ndarray
    yaw: float
    pitch: float
    roll: float
    scale: float
    centre: Tuple[float, float]
    mirror: float

    def project(self, u: np.ndarray, v: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates of coat points; u and v are arrays of one shape, any range (0..1 is the coat)."""
        aspect = ASPECTS[self.species]
        x, y = self._articulate(np.asarray(u, np.float64) * aspect, np.asarray(v, np.float64))
        x, y = x - aspect / 2, y - 0.5
        depth = 1.0 + (np.sin(self.yaw) * x + np.sin(self.pitch) * y) / 3.2
        x, y = np.cos(self.yaw) * x / depth, np.cos(self.pitch) * y / depth
        cos, sin = np.cos(self.roll) * self.scale, np.sin(self.roll) * self.scale
        x, y = cos * x - sin * y + self.centre[0], sin * x + cos * y + self.centre[1]
        return (self.mirror - x if self.mirror else x), y

    def _articulate(self, x: np.ndarray, y: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        for ax, ay, fx, fy, phase in self.waves:
            wave = np.sin(2 * np.pi * (fx * x + fy * y) + phase)
            x, y = x + ax * wave, y + ay * wave
        if self.species == "star_shark":
            tail, front = np.clip(x - 0.9, 0, None), np.clip(0.8 - x, 0, None)
            fin = self.fore * bump(x, 0.87, 0.14) * soft64(y, 0.66, 1.0)
            down = y + self.bend * 0.45 * tail**2 + self.head * 0.3 * front**2 + fin
            return x - 0.25 * abs(self.bend) * tail**2, down
        if self.species == "ridge_whale":
            span = x - 1.0
            lift = (self.head + self.bend * span) * span**2
            return x + 0.10 * self.fore * (y - 0.5), y - 0.35 * lift - 0.04 * self.hind * span
        middle = ASPECTS[self.species] / 2
        reach = smooth_ramp(0.46 - x, 0.16)
        down = soft64(y, 0.52, 1.02) * 0.5
        return (
            x
            + self.fore * bump(x, 0.49, 0.13) * down
            + self.hind * bump(x, middle + 0.30, 0.16) * down
            - 0.4 * self.head * reach,
            y + 0.22 * self.bend * (x - middle) ** 2 - self.head * reach * 0.9,
        )

    def control_grid(self) -> np.ndarray:
        """The map sampled at `GRID_NODES` x `GRID_NODES` evenly spaced (u, v): float32 [nodes, nodes, 2],
        [v, u, xy]."""
        node = np.linspace(0, 1, GRID_NODES)
        u, v = np.meshgrid(node, node)
        return np.stack(self.project(u, v), -1).astype(np.float32)

    def invert(self, x: np.ndarray, y: np.ndarray, steps: int = 12) -> Tuple[np.ndarray, np.ndarray]:
        """Coat coordinates of pixel coordinates, by Newton's method from the undeformed pose (outside 0..1:
        off it)."""
        flat = replace(
            self, bend=0.0, head=0.0, fore=0.0, hind=0.0, waves=np.zeros((0, 5)), yaw=0.0, pitch=0.0
        )
        (x0, y0), (xu, yu), (xv, yv) = (
            flat.project(np.float64(a), np.float64(b)) for a, b in ((0, 0), (1, 0), (0, 1))
        )
        jacobian = np.linalg.inv(np.array([[xu - x0, xv - x0], [yu - y0, yv - y0]]))
        u = jacobian[0, 0] * (x - x0) + jacobian[0, 1] * (y - y0)
        v = jacobian[1, 0] * (x - x0) + jacobian[1, 1] * (y - y0)
        for _ in range(steps):
            u, v = np.clip(u, -0.6, 1.6), np.clip(v, -0.6, 1.6)
            u, v = self.newton_step(u, v, x, y)
        return u, v

    def newton_step(
        self, u: np.ndarray, v: np.ndarray, x: np.ndarray, y: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Coat coordinates nearer to those of pixels (x, y) than the given ones, by one step of Newton's
        method."""
        h = 1e-4
        px, py = self.project(u, v)
        ux, uy = self.project(u + h, v)
        vx, vy = self.project(u, v + h)
        a, b, c, d = (ux - px) / h, (vx - px) / h, (uy - py) / h, (vy - py) / h
        det = a * d - b * c
        det = np.where(np.abs(det) < 1e-6, 1e-6, det)
        ex, ey = x - px, y - py
        step_u, step_v = (d * ex - b * ey) / det, (a * ey - c * ex) / det
        return u + np.clip(step_u, -0.3, 0.3), v + np.clip(step_v, -0.3, 0.3)


def soft64(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """`fields.soft_step` in float64, for maps that are inverted."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def smooth_ramp(value: np.ndarray, width: float) -> np.ndarray:
    """0 below 0, value - width / 2 above `width`, a parabola between: a bend without a crease."""
    t = np.clip(value, 0.0, width)
    return 0.5 * t * t / width + np.clip(value - width, 0.0, None)


LIMITS = {
    "striped_horse": dict(bend=0.28, head=0.45, fore=0.22, hind=0.27, yaw=0.75, pitch=0.12),
    "spotted_cat": dict(bend=0.25, head=0.42, fore=0.24, hind=0.28, yaw=0.75, pitch=0.15),
    "star_shark": dict(bend=0.65, head=0.50, fore=0.22, hind=0.0, yaw=0.65, pitch=0.35),
    "ridge_whale": dict(bend=0.20, head=0.42, fore=0.60, hind=0.60, yaw=0.50, pitch=0.45),
}
"""Largest absolute value of each pose parameter per species."""


def draw_pose(
    rng: np.random.Generator, species: str, frame: Tuple[int, int], hardness: float, mirror: bool
) -> Pose:
    """Choose a pose and camera for a frame of (width, height) pixels.

    Args:
        hardness: 0 (an easy photograph) to 1 (hard); widens every range.
        mirror: flip left to right, as for an animal whose right side is known.
    """
    spread = 0.45 + 0.55 * hardness

    def within(name: str) -> float:
        limit = LIMITS[species][name] * spread
        return float(rng.uniform(-limit, limit))

    values = {name: within(name) for name in ("bend", "head", "fore", "hind", "yaw", "pitch")}
    waves = np.stack(
        [
            rng.uniform(-0.009, 0.009, 4) * spread,
            rng.uniform(-0.009, 0.009, 4) * spread,
            rng.uniform(-1.2, 1.2, 4),
            rng.uniform(-1.2, 1.2, 4),
            rng.uniform(0, 6.3, 4),
        ],
        -1,
    )
    tilted = rng.random() < 0.30 + 0.15 * hardness
    roll = float(rng.uniform(0.14, 0.55) * rng.choice((-1, 1)) if tilted else rng.uniform(-0.05, 0.05))
    if species in ("striped_horse", "spotted_cat"):
        roll *= 0.7
    aspect = ASPECTS[species]
    width, height = frame
    cos, sin = abs(np.cos(roll)), abs(np.sin(roll))
    fit = min(
        width / (aspect * cos * np.cos(values["yaw"]) + 0.8 * sin), height / (0.93 * cos + aspect * 0.8 * sin)
    )
    scale = fit * float(rng.uniform(0.72, 0.99) if hardness < 0.8 else rng.uniform(0.62, 1.12))
    centre = (
        width * 0.5 + float(rng.uniform(-0.05, 0.05)) * width,
        height * 0.5 + float(rng.uniform(-0.04, 0.04)) * height,
    )
    return Pose(
        species=species,
        waves=waves,
        roll=roll,
        scale=scale,
        centre=centre,
        mirror=float(width) if mirror else 0.0,
        **values,
    )
