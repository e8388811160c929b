"""Who is let in, how much, and how fast."""

import asyncio
import json

import pytest
from starlette.testclient import TestClient

from imagrad.explorer.app import create_app
from imagrad.explorer.limits import Limits
from imagrad.explorer.security import Doors, Guard, Rates, Refusal

from .loops import done
from .small import LOCAL


async def _answer(scope, receive, send):
    message = await receive()
    body = json.dumps(len(message["body"])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def guarded(**limits):
    return Guard(_answer, Doors(), Limits(**limits), uploads=("/upload",))


def asked_of(guard, *, method="POST", path="/", headers=(("host", "127.0.0.1:8765"),), parts=(b"",), pause=0.0):
    """Put one request to an ASGI application, its body in parts; return status, headers and JSON."""
    sent = []
    waiting = list(parts)
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }

    async def receive():
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    done(guard(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, json.loads(sent[1]["body"])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8765", 200),
        ("evil.example:8765", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("192.168.1.5:8765", 421),
        ("", 421),
        ("[", 421),
        ("user@localhost@evil", 421),
    ],
)
def test_only_its_own_names_are_answered(host, status):
    found = asked_of(guarded(), headers=[("host", host)])
    assert found[0] == status
    if status != 200:
        assert found[2] == {"error": "this server answers under the address that it was started with, and no other."}


def test_two_or_no_hosts_are_refused():
    assert asked_of(guarded(), headers=[])[0] == 421
    assert asked_of(guarded(), headers=[("host", "localhost"), ("host", "evil.example")])[0] == 421


def test_an_open_server_is_answered_by_number_but_by_no_other_name():
    doors = Doors(frozenset({"box"}), any_address=True)
    assert [doors.is_right(host) for host in ("192.168.1.5:80", "[fe80::1]", "box:80", "evil.example")] == [
        True, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8765", 200),
        ("http://127.0.0.1:9999", 403),
        ("http://localhost:8765", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("file://127.0.0.1:8765", 403),
    ],
)
def test_pages_of_other_sites_are_refused(origin, status):
    headers = [("host", "127.0.0.1:8765"), ("origin", origin)]
    assert asked_of(guarded(), headers=headers)[0] == status


def test_requests_that_a_browser_calls_cross_site_are_refused():
    headers = [("host", "localhost"), ("sec-fetch-site", "cross-site")]
    assert asked_of(guarded(), method="GET", path="/api/about", headers=headers)[0] == 403
    assert asked_of(guarded(), method="GET", path="/", headers=headers)[0] == 200  # a link to the page


def test_bodies_are_bounded_whatever_they_declare():
    small = {"body_bytes": 10, "upload_bytes": 20}
    assert asked_of(guarded(**small), parts=(b"12345", b"67890"))[2] == 10
    status, headers, problem = asked_of(guarded(**small), parts=(b"12345", b"678901"))
    assert (status, headers["connection"]) == (413, "close")
    assert problem == {"error": "a request may have 10 bytes; this one has more. Send a smaller image."}
    declared = [("host", "localhost"), ("content-length", "11")]
    assert asked_of(guarded(**small), headers=declared)[0] == 413
    assert asked_of(guarded(**small), path="/upload", parts=(b"1" * 20,))[2] == 20
    assert asked_of(guarded(**small), path="/upload", parts=(b"1" * 21,))[0] == 413


def test_slow_bodies_are_given_up():
    status, _, problem = asked_of(guarded(body_seconds=0.05), parts=(b"1", b"2", b"3"), pause=0.04)
    assert status == 408 and problem["error"].startswith("a request must arrive within 0.05 seconds")


def test_few_large_bodies_at_a_time():
    guard = guarded(small_body=2, large_bodies=0)
    status, headers, problem = asked_of(guard, parts=(b"123",))
    assert (status, headers["retry-after"]) == (503, "1") and "too many large requests" in problem["error"]
    assert asked_of(guard, parts=(b"12",))[0] == 200
    assert asked_of(guarded(open_requests=0))[0] == 503


def test_rates_are_those_of_each_client_and_forgotten():
    time = [0.0]
    rates = Rates(Limits(a_second=2, burst=3, clients=2), lambda: time[0])
    for _ in range(3):
        rates.admit("a")
    with pytest.raises(Refusal, match="at most 2 requests a second are answered") as refused:
        rates.admit("a")
    assert refused.value.status == 429 and refused.value.retry_after == 1
    rates.admit("b")
    time[0] += 0.5  # one token more
    rates.admit("a")
    with pytest.raises(Refusal):
        rates.admit("a")
    for name in "cde":
        rates.admit(name)
    assert len(rates._buckets) == 2


def test_websockets_are_closed():
    sent = []

    async def send(message):
        sent.append(message)

    done(guarded()({"type": "websocket", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_every_answer_keeps_the_page_to_itself(client, subject):
    with TestClient(create_app(subject), base_url="http://evil.example") as stranger:
        refused = stranger.get("/")
    for answer in (client.get("/"), client.get("/api/about"), client.get("/nothing"), refused):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_the_page_names_no_other_place(client):
    from imagrad.explorer.page_files import page_files

    for path in page_files():
        answer = client.get(path)
        assert answer.status_code == 200
        if "vendor" not in path:
            text = answer.text.replace("http://www.w3.org/2000/svg", "")
            assert "http://" not in text and "https://" not in text and "//cdn" not in text, path
    assert {"/page/vendor/d3-contour.LICENSE", "/page/vendor/d3-array.LICENSE"} <= set(page_files())
    assert "/docs" not in client.get("/api/openapi.json").text and client.get("/docs").status_code == 404


def test_a_server_that_has_no_time_says_so(subject, pixels):
    with TestClient(create_app(subject, Limits(waiting=0)), base_url=LOCAL) as client:
        answer = client.post("/api/explain", json={"pixels": pixels})
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert answer.json() == {"error": "too much waits to be computed; try again in a second."}
