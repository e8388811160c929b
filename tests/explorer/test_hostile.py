"""Whatever is asked, in whatever shape: never a 500, always JSON with one sentence where something is refused."""

import base64
import json
import os

import hypothesis
import pytest
from hypothesis import strategies as st

if not os.environ.get("IMAGRAD_REQUIRE_MNIST"):
    pytest.importorskip("schemathesis")

import schemathesis

from imagrad.explorer.app import create_app
from imagrad.explorer.limits import Limits

QUESTIONS = ["explain", "latent", "pixel", "corrupt", "change"]
QUIET = {"deadline": None, "suppress_health_check": list(hypothesis.HealthCheck), "derandomize": True}


@pytest.fixture(scope="module")
def hostile(subject):
    from starlette.testclient import TestClient

    from .small import LOCAL

    unlimited = Limits(a_second=1e9, burst=1e9)
    with TestClient(create_app(subject, unlimited), base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


def check(answer):
    assert answer.status_code < 500, (answer.request.url, answer.request.content[:500], answer.text)
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        problem = answer.json()
        assert list(problem) == ["error"] and problem["error"] and "Traceback" not in problem["error"]
        assert len(problem["error"]) < 2000


def operations():
    return [
        "GET /api/about",
        "GET /api/images",
        "GET /api/curve",
        "POST /api/upload",
        *[f"POST /api/{q}" for q in QUESTIONS],
    ]


@pytest.mark.parametrize("name", operations())
def test_requests_made_from_the_schema(hostile, name):
    method, path = name.split(" ")
    schema = schemathesis.openapi.from_dict(hostile.get("/api/openapi.json").json())
    operation = schema[path][method]

    @hypothesis.settings(max_examples=25, **QUIET)
    @hypothesis.given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    def positive(case):
        check(send(hostile, case))

    @hypothesis.settings(max_examples=25, **QUIET)
    @hypothesis.given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    def negative(case):
        check(send(hostile, case))

    positive()
    if name not in ("GET /api/about", "GET /api/curve", "POST /api/upload"):  # nothing there can be wrong
        negative()


def send(client, case):
    keywords = case.as_transport_kwargs(base_url="http://127.0.0.1")
    keywords = {
        key: value
        for key, value in keywords.items()
        if key in ("method", "url", "headers", "params", "json", "data", "content")
    }
    if "data" in keywords:
        data = keywords.pop("data")
        keywords["content"] = data if isinstance(data, bytes) else str(data).encode("utf-8", "surrogatepass")
    keywords["headers"] = {k: v for k, v in dict(keywords.get("headers") or {}).items() if k.lower() != "host"}
    if "json" in keywords:
        keywords["content"] = json.dumps(keywords.pop("json")).encode("utf-8", "surrogatepass")
        keywords["headers"]["content-type"] = "application/json"
    return client.request(**keywords)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["saliency", "lime", "", "../..", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "network method norm kinks certify pixels latent span row column percentage which down right noise level seed extra"
).split()


@pytest.mark.parametrize("question", QUESTIONS)
def test_any_json_about_a_right_image(hostile, question):
    @hypothesis.settings(max_examples=40, **QUIET)
    @hypothesis.given(
        image=st.binary(min_size=64, max_size=64), more=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4)
    )
    def ask(image, more):
        needed = {"latent": {"latent": 0}, "pixel": {"row": 0, "column": 0}}.get(question, {})
        body = {"pixels": base64.b64encode(image).decode(), **needed, **more}
        content = json.dumps(body).encode("utf-8", "surrogatepass")
        check(hostile.post(f"/api/{question}", content=content, headers={"content-type": "application/json"}))

    ask()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe",
        b"NaN",
        b'{"pixels": 1e999}',
        b"1" * 5000,
        b'{"pixels":"\\ud800"}',
    ],
    ids=lambda content: repr(content[:12]),
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/json; charset=utf-7", ""])
def test_bodies_that_are_no_question(hostile, content, kind):
    answer = hostile.post("/api/explain", content=content, headers={"content-type": kind})
    check(answer)
    assert answer.status_code >= 400


def test_any_bytes_as_a_picture(hostile):
    heads = [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"BM",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"II*\0",
        b"MM\0*",
    ]

    @hypothesis.settings(max_examples=60, **QUIET)
    @hypothesis.given(head=st.sampled_from(heads), rest=st.binary(max_size=200))
    def upload(head, rest):
        answer = hostile.post("/api/upload", content=head + rest)
        check(answer)

    upload()


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize(
    "path", ["/", "/api/explain", "/api/images?start=-1", "/page/%2e%2e/app.py", "/page/main.js/", "/%00"]
)
def test_other_methods_and_paths(hostile, method, path):
    check(hostile.request(method, path))
