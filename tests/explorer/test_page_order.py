"""The page where things come late, fail, are undone, are large, or are touched by two fingers."""

import json
from itertools import pairwise

import pytest
import torch
from PIL import Image

from .browser import Watched, bars, changes, settled, shapes, stroke
from .serving import served


def test_the_skip_link_goes_to_the_picture(page):
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'picture'")
    page.wait_for_timeout(200)
    assert page.locator("#problem").is_hidden()


def test_a_step_back_from_noise_leaves_the_picture(page):
    page.locator("#gallery button").nth(2).click()
    settled(page)
    code = bars(page)
    for level in ("0.3", "0.5"):
        page.locator("#level").fill(level)
    settled(page)
    assert bars(page) != code
    for _ in range(2):
        page.locator("#undo").click()
    settled(page)
    assert bars(page) == code and page.locator("#level").input_value() == "0"
    assert page.locator("#gallery button").nth(2).get_attribute("aria-pressed") == "true"


def test_noise_that_comes_late_leaves_what_was_drawn_meanwhile(page):
    page.get_by_role("button", name="Clear").click()
    settled(page)
    held = []
    page.route("**/api/change", lambda route: held.append(route))
    page.locator("#level").fill("0.5")
    for _ in range(100):
        if held:
            break
        page.wait_for_timeout(20)
    before, empty = shapes(page), page.locator("#picture").screenshot()
    stroke(page, [(0.3, 0.3), (0.7, 0.7)])
    changes(page, before)
    drawn = page.locator("#picture").screenshot()
    held[0].continue_()
    page.wait_for_selector("main[aria-busy=false]")
    page.wait_for_timeout(200)
    assert page.locator("#picture").screenshot() == drawn != empty


def test_an_answer_that_comes_late_is_shown_as_what_it_is(page):
    """Beside the map stands a second network; another method is chosen before its answer is there, and then fails."""
    page.wait_for_selector("#figure-b path", state="attached")
    caption = page.locator("#caption-b").inner_text()
    held = []

    def answer(route):
        if len(held) < 2:
            held.append(route)
        else:  # however soon the page asks for the other method
            route.fulfill(status=422, body='{"error": "no map of this one."}')

    page.route("**/api/explain", answer)
    page.locator("#norm").select_option("max")
    for _ in range(1000):
        if len(held) == 2:
            break
        page.wait_for_timeout(20)
    page.locator("#beside").select_option("method:gradient")
    for route in held[:2]:
        route.continue_()
    page.wait_for_selector("#problem >> text=no map of this one.")
    assert page.locator("#caption-b").inner_text().split(";")[0] == caption.split(";")[0]
    assert page.locator("#told").inner_text() == "This is the last map that could be made."
    assert "old" in page.locator("#maps").get_attribute("class")
    page.unroute("**/api/explain")
    page.locator("#norm").select_option("l1")
    page.wait_for_selector("#problem", state="hidden")
    assert page.locator("#maps").get_attribute("class") == "maps"


@pytest.mark.slow
def test_large_colour_pictures_are_drawn_and_all_can_be_reached(chromium, tmp_path):
    """A map of 400 x 400 is more arguments than a function may have; two such images are more than an answer holds."""
    encode = torch.nn.Sequential(
        torch.nn.AvgPool2d(20),
        torch.nn.Conv2d(3, 4, 3, 2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(324, 3),
    ).eval()
    torch.save(encode, tmp_path / "encoder.pt")
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        noise = Image.effect_noise((40, 40), 80 + number).convert("RGB")
        noise.save(tmp_path / "pictures" / f"{number}.png")
    options = [
        tmp_path / "encoder.pt",
        "--trust",
        "--shape",
        3,
        400,
        400,
        "--data",
        tmp_path / "pictures",
        "--fit",
        "resize",
    ]
    with served(*options) as (_, url, _):
        page, watched = chromium.new_page(), Watched()
        watched.watch(page)
        page.goto(url)
        settled(page)
        seen = []
        for _ in range(3):
            seen.append(page.locator("#gallery button").first.get_attribute("data-index"))
            if not page.locator("#gallery-on").is_disabled():
                page.locator("#gallery-on").click()
                page.wait_for_selector("main[aria-busy=false]")
        assert seen == ["0", "1", "2"] and page.locator("#gallery-on").is_disabled()
        assert page.locator("#no-decoder").is_visible()
        assert page.locator("#map-a").get_attribute("aria-label").startswith("Map by saliency: largest ")
        page.close()
    assert watched.complaints == []


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_a_second_finger_draws_no_line_to_the_first(page):
    page.get_by_role("button", name="Clear").click()
    settled(page)
    page.locator("#picture").scroll_into_view_if_needed()
    box = page.locator("#picture").bounding_box()

    def touch(kind, *shares):
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": k}
            for k, (x, y) in enumerate(shares)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    session = page.context.new_cdp_session(page)
    touch("touchStart", (0.1, 0.1))
    touch("touchStart", (0.1, 0.1), (0.9, 0.9))
    touch("touchMove", (0.2, 0.1), (0.9, 0.8))
    touch("touchEnd")
    settled(page)
    with page.expect_download() as download:
        page.locator("#save-json").click()
    pixels = torch.tensor(json.loads(download.value.path().read_text())["pixels"]).view(8, 8)
    assert pixels[:2, :3].sum() > 0 and pixels[3:].sum() == 0


def test_the_numbers_of_a_scale_have_room(page):
    page.locator("#code button").nth(0).click()
    page.wait_for_selector("#traversal canvas")
    for scale in ("#scale", "#latent-scale"):
        boxes = sorted((one.bounding_box() for one in page.locator(f"{scale} em").all()), key=lambda box: box["x"])
        assert len(boxes) >= 2
        for left, right in pairwise(boxes):
            assert left["x"] + left["width"] < right["x"]
