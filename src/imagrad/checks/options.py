"""What the checks are told; plain values, so that the command line can show them without importing torch."""

from __future__ import annotations

from dataclasses import dataclass

from imagrad.errors import InputError


@dataclass(frozen=True)
class OneClassOptions:
    """Sanity Check-1: networks that have seen one class alone (Fig. 8)."""

    images: int = 100
    """Test images of all classes that each network explains; at least 100 for a result to be quoted."""
    own_images: int = 100
    """Test images of its own class that each network explains besides; fewer where there are fewer."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        _check_count("images", self.images)
        _check_count("own_images", self.own_images)


@dataclass(frozen=True)
class TranslationOptions:
    """Sanity Check-2: images put into a corner of a larger canvas (Fig. 9)."""

    images: int = 100
    """Test images that each network explains."""
    canvas: int | None = None
    """Height and width of the canvas, in pixels; default: one and a half times the image, 42 for 28."""
    corners: str = "top-left"
    """The corner that digits are put into: top-left (the paper's), another, or all."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        _check_count("images", self.images)


@dataclass(frozen=True)
class CorruptionOptions:
    """Sanity Check-3: the most and the least important pixels flipped before a classifier sees them (Fig. 10, 11)."""

    images: int = 100
    """Test images whose local maps are averaged to the global map."""
    percentages: tuple[float, ...] = (10.0, 20.0, 30.0)
    """How many of the pixels are flipped."""
    local_maps: int = 20
    """Local maps that are each tried as a representative of the global one."""
    corrupted_images: int | None = None
    """Test images that are corrupted and classified; default: all."""
    corrupted_for_local: int = 2000
    """Test images that are classified for each of the local maps but the first, which sees all."""
    least_clean_accuracy: float = 0.99
    """What the classifier must reach on clean images for the check to count."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        _check_count("images", self.images)
        _check_count("local_maps", self.local_maps)
        _check_count("corrupted_for_local", self.corrupted_for_local)
        if self.corrupted_images is not None:
            _check_count("corrupted_images", self.corrupted_images)
        if not self.percentages or any(not 0 < percentage < 100 for percentage in self.percentages):
            raise InputError(f"`percentages` must lie between 0 and 100; got {list(self.percentages)}.")
        if sorted(set(self.percentages)) != list(self.percentages):
            raise InputError(f"`percentages` must rise; got {list(self.percentages)}.")
        if not 0 <= self.least_clean_accuracy <= 1:
            raise InputError(f"`least_clean_accuracy` must be from 0 to 1; got {self.least_clean_accuracy}.")


@dataclass(frozen=True)
class RandomisationOptions:
    """Networks whose weights mean nothing, layer by layer (Adebayo et al. 2018)."""

    images: int = 100
    """Test images that are explained."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        _check_count("images", self.images)


@dataclass(frozen=True)
class LocalityOptions:
    """How far local maps differ from the global one (section 6: not notably)."""

    images: int = 200
    """Test images that are explained."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        _check_count("images", self.images)


Options = OneClassOptions | TranslationOptions | CorruptionOptions | RandomisationOptions | LocalityOptions

OPTIONS: dict[str, type[Options]] = {
    "one-class": OneClassOptions,
    "translation": TranslationOptions,
    "corruption": CorruptionOptions,
    "randomisation": RandomisationOptions,
    "locality": LocalityOptions,
}
"""The options of each check, by its name."""


def _check_count(name: str, value: int) -> None:
    if value < 2:
        raise InputError(f"`{name}` must be at least 2, as an interval needs a spread; got {value}.")
