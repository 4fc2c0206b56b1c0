"""Light on the animal and the camera's own faults: shading, haze, exposure, colour cast, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict

import numpy as np

from .coats import Coat
from .fields import fractal_noise, gaussian_blur, mix, soft_step
from .poses import Pose


@dataclass(frozen=True)
class Light:
    """Light of one photograph.

    Attributes:
        azimuth, elevation: where the key light stands, radians (azimuth 0 is right, clockwise seen by the
            camera).
        key, fill: strength of the key light and of the light from all around.
        dapple: strength of leaf shade or of caustics, 0..1.
        haze: how far the animal fades into the background, 0..1.
        gamma: tone curve of the whole picture.
        exposure: factor on the whole picture.
        cast: colour cast, three factors.
    """

    azimuth: float
    elevation: float
    key: float
    fill: float
    dapple: float
    haze: float
    gamma: float
    exposure: float
    cast: np.ndarray

    @property
    def label(self) -> str:
        """The word that `attributes.csv` uses."""
        if self.dapple > 0.35:
            return "dappled"
        if self.exposure < 0.80:
            return "dark"
        if self.exposure > 1.18:
            return "bright"
        return "harsh" if self.key > 0.85 else "soft"

    @property
    def labels(self) -> Dict[str, str]:
        """What `attributes.csv` says about the light."""
        return {"light": self.label, "haze": f"{self.haze:.3f}", "exposure": f"{self.exposure:.3f}"}


def draw_light(rng: np.random.Generator, species: str, hardness: float) -> Light:
    """Choose the light of one photograph; `hardness` widens exposure, dapple and haze."""
    water = species == "star_shark"
    dapple = (
        rng.uniform(0, 0.8) if rng.random() < (0.55 if water else 0.28 * (species != "ridge_whale")) else 0.0
    )
    key = float(rng.uniform(0.35, 1.0))
    return Light(
        azimuth=float(rng.uniform(-np.pi, 0)),
        elevation=float(rng.uniform(0.35, 1.3)),
        key=key,
        fill=float(1.03 - 0.62 * key),
        dapple=float(dapple * (0.5 + 0.5 * hardness)),
        haze=float(
            rng.uniform(0.06, 0.30 + 0.22 * hardness) if water else rng.uniform(0, 0.06 + 0.16 * hardness)
        ),
        gamma=float(rng.uniform(0.82, 1.15)),
        exposure=float(np.exp(rng.uniform(-1, 1) * (0.12 + 0.28 * hardness))),
        cast=(1 + rng.uniform(-1, 1, 3) * (0.04 + 0.05 * hardness)).astype(np.float32),
    )


def surface_normals(coat: Coat) -> np.ndarray:
    """Slope of the rounded body in the coat plane, float32 [H, W, 2], limited so that edges do not tear."""
    pixel = 1.0 / coat.height.shape[0]
    smooth = gaussian_blur(coat.height, 0.011 / pixel)
    down, right = np.gradient(smooth, pixel)
    slope = np.stack([-right, -down], -1)
    return (slope / (1 + 0.35 * np.linalg.norm(slope, axis=-1, keepdims=True))).astype(np.float32)


def shade(
    albedo: np.ndarray, slope: np.ndarray, far: np.ndarray, light: Light, pose: Pose, rng: np.random.Generator
) -> np.ndarray:
    """Light the coat.

    Args:
        albedo, slope, far: colour [H, W, 3], slope [H, W, 2] and far-side weight [H, W], already in
            photograph pixels.
        light, pose: the key light stands in the photograph's frame, the slope in the coat's.
        rng: for the dapple's shape.

    Returns:
        RGB [H, W, 3], not yet limited to 0..1.
    """
    cos, sin = np.cos(pose.roll), np.sin(pose.roll)
    nx, ny = cos * slope[..., 0] - sin * slope[..., 1], sin * slope[..., 0] + cos * slope[..., 1]
    if pose.mirror:
        nx = -nx
    length = np.sqrt(1 + nx * nx + ny * ny)
    flat = np.cos(light.elevation)
    sideways = nx * np.cos(light.azimuth) * flat + ny * np.sin(light.azimuth) * flat
    lit = (sideways + np.sin(light.elevation)) / length
    sky = 0.5 - 0.5 * ny / length
    diffuse = light.key * np.clip(0.25 + 0.85 * lit, 0, None) + light.fill * (0.45 + 0.65 * sky)
    diffuse = diffuse * (0.72 + 0.28 / length) * (1 - 0.42 * far)
    if light.dapple > 0:
        size = albedo.shape[:2]
        if pose.species == "star_shark":
            web = np.abs(fractal_noise(rng, size, (9, 12), 2))
            diffuse = diffuse + light.dapple * (soft_step(web, 0.22, 0.0) - 0.12) * (0.3 + sky)
        else:
            leaves = soft_step(fractal_noise(rng, size, (6, 8), 3), -0.3, 0.5)
            diffuse = diffuse * (1 - 0.62 * light.dapple * leaves)
    shiny = {"ridge_whale": 0.42, "star_shark": 0.10}.get(pose.species, 0.04)
    half = np.clip(
        (sideways + 1 + np.sin(light.elevation)) / (length * np.sqrt(2 + 2 * np.sin(light.elevation))),
        0,
        1,
    )
    return albedo * diffuse[..., None] + (shiny * light.key * half**38)[..., None]


def contact_shadow(alpha: np.ndarray, light: Light) -> np.ndarray:
    """How much darker the ground is, [H, W] in 0..1: the animal's outline, flattened onto the ground and
    blurred.

    Args:
        alpha: the animal's cover in an upright frame, float32 [H, W].
    """
    rows, height = np.nonzero(alpha.max(1) > 0.5)[0], alpha.shape[0]
    if rows.size == 0:
        return np.zeros_like(alpha)
    foot, row = int(rows[-1]), np.arange(height)
    behind, before = foot - (foot - row) / 0.16, foot - (row - foot) / 0.05
    source = np.clip(np.where(row > foot, before, behind), 0, height - 1).astype(int)
    moved = np.roll(alpha[source], int(-np.cos(light.azimuth) * 0.03 * alpha.shape[1]), 1)
    return (0.25 + 0.35 * light.key) * gaussian_blur(moved, 0.012 * height)


def expose(
    image: np.ndarray, light: Light, blur: float, streak: float, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Make the picture that the camera stores.

    Args:
        image: scene RGB [H, W, 3].
        blur: defocus, standard deviation in pixels.
        streak: length of a motion blur in pixels (0: none), in a random direction.
        noise: standard deviation of the sensor's noise, in 0..1.

    Returns:
        uint8 RGB [H, W, 3].
    """
    height, width = image.shape[:2]
    image = gaussian_blur(image.astype(np.float32), blur)
    if streak >= 1.0:
        turn, total = rng.uniform(0, np.pi), np.zeros_like(image)
        steps = max(3, int(np.ceil(streak)) | 1)
        for t in np.linspace(-0.5, 0.5, steps):
            shift = (int(round(t * streak * np.sin(turn))), int(round(t * streak * np.cos(turn))))
            total += np.roll(image, shift, (0, 1))
        image = (total / steps).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    vignette = (1 - 0.10 * (x * x + y * y))[..., None]
    signal: np.ndarray = image * light.cast * np.float32(light.exposure) * vignette
    signal = np.clip(signal, 0, None) ** np.float32(0.80 * light.gamma)
    signal = np.where(signal > 0.8, 0.8 + 0.2 * np.tanh((signal - 0.8) / 0.2), signal)
    grain: np.ndarray = rng.standard_normal(signal.shape, dtype=np.float32)
    if noise > 0.012:
        grain = 0.6 * grain + 0.8 * gaussian_blur(grain, 0.7)
    return (np.clip(signal + noise * grain, 0, 1) * 255 + 0.5).astype(np.uint8)


def add_haze(image: np.ndarray, background: np.ndarray, amount: float) -> np.ndarray:
    """Fade the animal towards the mean colour of the background, as air and water do."""
    veil = background.mean((0, 1)) * 0.6 + background.max((0, 1)) * 0.1
    return mix(image, veil, np.full(image.shape[:2], amount, np.float32))
