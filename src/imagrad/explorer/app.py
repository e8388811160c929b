"""The web application: one page, and a small API that it asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from imagrad.errors import ImagradError
from imagrad.explorer.about import about, gallery
from imagrad.explorer.answers import Answers
from imagrad.explorer.corrupting import corrupt
from imagrad.explorer.fig11 import Fig11
from imagrad.explorer.limits import Limits
from imagrad.explorer.messages import (
    About,
    ChangeRequest,
    Corrupted,
    CorruptRequest,
    CurveFacts,
    ExplainRequest,
    Explanation,
    Gallery,
    LatentFacts,
    LatentRequest,
    Picture,
    PixelFacts,
    PixelRequest,
    Problem,
)
from imagrad.explorer.page_files import page_files
from imagrad.explorer.pixels import packed, uploaded
from imagrad.explorer.security import Doors, Guard
from imagrad.explorer.subject import Subject
from imagrad.explorer.work import Bench, BusyError

Answer = TypeVar("Answer")

UPLOAD = "/api/upload"
_REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "not JSON, or not whole", 403: "from a page of another site", 408: "too slow", 413: "too large",
        421: "under another name", 422: "cannot be answered as asked", 429: "too many from one client",
        503: "too many at a time",
    }.items()
}  # fmt: skip
_PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_LONGEST = 1000  # letters of a sentence
_UNEXPECTED = "something went wrong here that should not have; the server's own output says what. Please report it."


@dataclass(frozen=True)
class Desk:
    """What the routes work with."""

    answers: Answers
    computing: Bench
    decoding: Bench
    fig11: Fig11

    async def compute(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Compute off the event loop, in turn."""
        return await self.computing.run(function, *arguments)


def create_app(subject: Subject, limits: Limits | None = None, doors: Doors | None = None) -> Guard:
    """Return the ASGI application that explores `subject`, guarded; `doors` are the names it answers under."""
    limits = limits or Limits()
    desk = Desk(
        Answers(subject, limits), Bench("compute", limits.waiting), Bench("decode", limits.waiting), Fig11(subject)
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        desk.fig11.stop()
        desk.computing.close()
        desk.decoding.close()

    app = FastAPI(
        title="imagrad explorer", version="1", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json",
        lifespan=lifespan, responses=_REFUSED,
    )  # fmt: skip
    _add_errors(app)
    _add_page(app)
    _add_facts(app, desk, limits)
    _add_questions(app, desk)
    return Guard(app, doors or Doors(), limits, uploads=(UPLOAD,))


def _add_page(app: FastAPI) -> None:
    """Serve each file of the page under its own path."""

    def serve(content: bytes, kind: str) -> Callable[[], Response]:
        def answer() -> Response:
            return Response(content, headers={"content-type": kind})

        return answer

    for path, (content, kind) in page_files().items():
        app.add_api_route(path, serve(content, kind), include_in_schema=False, response_model=None)


def _add_facts(app: FastAPI, desk: Desk, limits: Limits) -> None:
    """Serve what does not depend on an image."""
    subject = desk.answers.subject

    @app.get("/api/about")
    async def _about() -> About:
        return about(subject, limits)

    @app.get("/api/images")
    async def _images(
        start: Annotated[int, Query(ge=0, le=2**31)] = 0, count: Annotated[int, Query(ge=1, le=48)] = 24
    ) -> Gallery:  # fmt: skip
        return await desk.decoding.run(gallery, subject, limits, start, count)

    @app.get("/api/curve")
    async def _curve() -> CurveFacts:
        return desk.fig11.facts(desk.computing)

    @app.post(UPLOAD, openapi_extra=_PICTURE_BODY)
    async def _upload(
        request: Request, fit: Literal["pad", "crop", "resize"] = "pad", invert: bool = False
    ) -> Picture:  # fmt: skip
        return await desk.decoding.run(_decoded, subject, limits, await request.body(), fit, invert)


def _decoded(subject: Subject, limits: Limits, content: bytes, fit: str, invert: bool) -> Picture:
    from imagrad.data.fitting import Fit

    return Picture(pixels=packed(uploaded(content, Fit(subject.shape, fit, invert), limits.upload_pixels)))


def _add_questions(app: FastAPI, desk: Desk) -> None:
    """Serve what is asked about an image."""
    answers = desk.answers

    @app.post("/api/explain")
    async def _explain(asked: ExplainRequest) -> Explanation:
        return await desk.compute(answers.explain, asked)

    @app.post("/api/latent")
    async def _latent(asked: LatentRequest) -> LatentFacts:
        return await desk.compute(answers.latent, asked)

    @app.post("/api/pixel")
    async def _pixel(asked: PixelRequest) -> PixelFacts:
        return await desk.compute(answers.pixel, asked)

    @app.post("/api/corrupt")
    async def _corrupt(asked: CorruptRequest) -> Corrupted:
        return await desk.compute(corrupt, answers, asked)

    @app.post("/api/change")
    async def _change(asked: ChangeRequest) -> Picture:
        return await desk.decoding.run(answers.change, asked)  # it needs no network, and waits for none


def _add_errors(app: FastAPI) -> None:
    """Answer every error by JSON with one sentence."""

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
        status = 400 if first["type"] == "json_invalid" else 422
        return _problem(status, f"`{place}`: {first['msg']}." if place else f"{first['msg']}.")

    @app.exception_handler(ImagradError)
    async def _refused(_: Request, error: Exception) -> JSONResponse:
        return _problem(422, str(error))

    @app.exception_handler(BusyError)
    async def _busy(_: Request, error: Exception) -> JSONResponse:
        return _problem(503, "too much waits to be computed; try again in a second.", {"retry-after": "1"})

    @app.exception_handler(MemoryError)
    async def _full(_: Request, error: Exception) -> JSONResponse:
        return _problem(503, "there was not enough memory for this; try a smaller image.", {"retry-after": "1"})

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return _problem(error.status_code, f"{error.detail}.", dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _unexpected(_: Request, error: Exception) -> JSONResponse:
        return _problem(500, _UNEXPECTED)


def _problem(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Answer with a sentence, in which may be what the client sent: half characters are written as escapes."""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return JSONResponse({"error": text.encode("utf-8", "backslashreplace").decode()}, status, headers)
