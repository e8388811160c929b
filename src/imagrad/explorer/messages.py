"""What the page and the server say to each other; the OpenAPI schema is made of these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Pixels = Annotated[str, Field(description="base64 of an image: one byte a number, (channels, height, width)")]
Floats = Annotated[str, Field(description="base64 of float32 numbers, the lowest byte first")]
Noise = Literal["gaussian", "poisson", "salt-and-pepper", "speckle"]


class Asked(BaseModel):
    """The base of what is asked: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Choices(Asked):
    """How maps are computed."""

    network: int = Field(0, ge=0, le=1, description="the first, or the one that it is compared with")
    method: str = Field("saliency", max_length=64)
    norm: Literal["l2", "l1", "max"] = "l2"
    kinks: Literal["ad", "right", "left", "mean", "raise"] = "ad"
    certify: bool = Field(False, description="whether a sample of the numbers is computed anew by other means")


class ExplainRequest(Choices):
    """Explain an image."""

    pixels: Pixels


class LatentRequest(Choices):
    """Look at one latent."""

    pixels: Pixels
    latent: int = Field(ge=0, le=2**31)
    span: Literal["quantiles", "deviations"] = "quantiles"


class PixelRequest(Choices):
    """Look at one pixel."""

    pixels: Pixels
    row: int = Field(ge=0, le=2**31)
    column: int = Field(ge=0, le=2**31)


class CorruptRequest(Choices):
    """Flip the most or the least important pixels, or random ones."""

    pixels: Pixels
    percentage: float = Field(ge=0, le=50)
    which: Literal["most", "least", "random"] = "most"


class ChangeRequest(Asked):
    """Shift an image, fill with black, then put noise on it."""

    pixels: Pixels
    down: int = Field(0, ge=-4096, le=4096)
    right: int = Field(0, ge=-4096, le=4096)
    noise: Noise = "gaussian"
    level: float = Field(0.0, ge=0, le=1)
    seed: int = Field(0, ge=0, le=2**31)


class Problem(BaseModel):
    """Why something was refused, in a sentence."""

    error: str


class Found(BaseModel):
    """Something that the preflight, or the self-test of a method, found."""

    kind: str
    text: str


class NetworkFacts(BaseModel):
    """A network that is explored."""

    name: str
    latents: int
    has_decoder: bool
    has_spread: bool
    preflight: str
    findings: list[Found]
    notes: list[str]


class MethodFacts(BaseModel):
    """A method that can be chosen."""

    name: str
    summary: str
    norm: str
    is_quick: bool


class About(BaseModel):
    """What is explored, and what can be asked."""

    version: str
    networks: list[NetworkFacts]
    shape: tuple[int, int, int]
    data: str
    images: int
    classes: list[str]
    can_measure_curve: bool
    methods: list[MethodFacts]
    noises: list[str]
    upload_bytes: int


class GalleryImage(BaseModel):
    """An image of the data set."""

    index: int
    title: str
    pixels: Pixels


class Gallery(BaseModel):
    """Some images of the data set, from `start` on."""

    start: int
    total: int
    images: list[GalleryImage]


class Picture(BaseModel):
    """An image."""

    pixels: Pixels


class CertificateFacts(BaseModel):
    """The independent check of derivatives, in a sentence and in full."""

    passed: bool
    sentence: str
    text: str


class Share(BaseModel):
    """A class and the classifier's probability for it."""

    label: str
    probability: float


class Explanation(BaseModel):
    """The map of an image, and its code."""

    code: list[float]
    reconstruction: Pixels | None
    saliency: Floats = Field(description="(height, width), the l2 norm over the channels")
    largest: float
    units: str
    engine: str
    ties: dict[str, int]
    findings: list[Found]
    certificate: CertificateFacts | None
    verdict: list[Share] | None
    milliseconds: float


class Step(BaseModel):
    """An image of a traversal."""

    value: float
    pixels: Pixels


class LatentFacts(BaseModel):
    """A latent: what moves it, and what it paints."""

    latent: int
    value: float
    gradient: Floats = Field(description="(height, width), signed, the sum over the channels")
    largest: float
    units: str
    steps: list[Step]
    no_traversal: str | None
    certificate: CertificateFacts | None


class PixelFacts(BaseModel):
    """A pixel: which latents it moves."""

    row: int
    column: int
    derivatives: list[float] = Field(description="of each latent, the sum over the channels")
    strongest: list[int] = Field(description="the latents that it moves most, at most 8")


class Corrupted(BaseModel):
    """An image with pixels flipped, and what that does."""

    pixels: Pixels
    flipped: int
    before: list[Share] | None
    after: list[Share] | None
    code_moved: float = Field(description="the distance of the codes over the length of the first")


class CurveFacts(BaseModel):
    """The curve of Fig. 11."""

    state: Literal["none", "on its way", "there"]
    text: str
    percentages: list[float]
    accuracies: dict[str, list[float]]
    done: float
