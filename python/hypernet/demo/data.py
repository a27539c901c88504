"""The data: scikit-learn's handwritten digits, split first and turned by angles afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PIXELS, CLASSES = 64, 10
TEST, VALIDATION = 360, 240
STEP = 15.0  # degrees between trained angles
LEFT_OUT = (120.0, 180.0)  # no angle strictly inside is trained


@dataclass(frozen=True)
class Split:
    """Images (n, 8, 8) in [0, 1] and labels (n,) of one part, and which of the 1,797 they are."""

    images: Array
    labels: Array
    index: Array


@dataclass(frozen=True)
class Digits:
    """The three parts; no image is in two of them."""

    train: Split
    validation: Split
    test: Split


@dataclass(frozen=True)
class Turned:
    """One part at several angles: images (angles, n, 64), labels (n,), conditions (angles, 2)."""

    angles: Array
    images: Array
    labels: Array

    @property
    def conditions(self) -> Array:
        """Cosine and sine of each angle."""
        return condition_of(self.angles)


def condition_of(angles: Any) -> Array:
    """Cosine and sine of angles in degrees, (..., 2).

    >>> condition_of(90.0).round(6).tolist()
    [0.0, 1.0]
    """
    radians = np.deg2rad(np.asarray(angles, np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=-1).astype(np.float32)


def load_digits(seed: int, images: int | None = None) -> Digits:
    """The digits in an order drawn from `seed`: 360 test, 240 validation, 1,197 (or only so many) training images."""
    from sklearn.datasets import load_digits as load  # type: ignore[import-untyped, unused-ignore]

    data = load()
    pixels = np.asarray(data.images / 16.0, np.float32)
    labels = np.asarray(data.target, np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    parts = np.split(order, [TEST, TEST + VALIDATION])
    parts[2] = parts[2][:images]
    test, validation, train = (Split(pixels[part], labels[part], part) for part in parts)
    return Digits(train, validation, test)


def turn(split: Split, angles: Any) -> Turned:
    """All images of a part at each of these angles (degrees, counter-clockwise), interpolated by cubic splines."""
    from scipy import ndimage  # type: ignore[import-untyped, unused-ignore]

    # One pixel of border on each side, so that the splines see the background; cut off again.
    padded = np.pad(split.images, ((0, 0), (1, 1), (1, 1)))
    turned = [
        ndimage.rotate(padded, float(angle), axes=(2, 1), reshape=False, order=3)[:, 1:-1, 1:-1] for angle in angles
    ]
    stacked = np.clip(np.stack(turned), 0.0, 1.0).astype(np.float32)
    return Turned(np.asarray(angles, np.float64), stacked.reshape(len(turned), -1, PIXELS), split.labels)


def is_left_out(angles: Any) -> Array:
    """Whether angles lie in the range that training leaves out."""
    array = np.asarray(angles)
    return (array > LEFT_OUT[0]) & (array < LEFT_OUT[1])


def trained_angles() -> Array:
    """0, 15, ..., 345 degrees without those left out."""
    angles = np.arange(0.0, 360.0, STEP)
    return angles[~is_left_out(angles)]


def tested_angles() -> Array:
    """0, 7.5, ..., 352.5 degrees: the trained angles, those in the middle between them, and the left-out range."""
    return np.arange(0.0, 360.0, STEP / 2)


def is_between(angles: Any) -> Array:
    """Whether angles lie in the middle between two trained ones: never trained, but not in the left-out range."""
    array = np.asarray(angles)
    return (array % STEP == STEP / 2) & ~is_left_out(array)
