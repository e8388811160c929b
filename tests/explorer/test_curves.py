"""The curve of Fig. 11 as it is measured in the pauses."""

import asyncio
import time
from dataclasses import replace

import pytest
import torch

import imagrad
from imagrad.checks.rankings import flipped, pixels_of, ranking
from imagrad.explorer.curves import PERCENTAGES, measured, trial_of
from imagrad.explorer.fig11 import Fig11
from imagrad.explorer.work import Bench

from .loops import done


def test_the_curve_is_that_of_the_mean_map(subject):
    trial = trial_of(subject.classifier, subject.dataset, "cpu")
    *parts, curve = measured(trial, subject.networks[0].encode)
    assert [part.done for part in parts] == sorted(part.done for part in parts) and curve.done == pytest.approx(1)
    images, labels = subject.dataset.images(), subject.dataset.labels
    mean = imagrad.saliency(subject.networks[0].encode, images).maps[:, 0].double().mean(dim=0).numpy()
    order = ranking(mean, 0)

    def share(changed):
        return float((subject.classifier(changed).argmax(dim=1) == labels).double().mean())

    for side in ("most", "least"):
        expected = [share(flipped(images, pixels_of(order, percentage, side))) for percentage in PERCENTAGES]
        assert curve.accuracies[side] == pytest.approx((share(images), *expected))
    assert set(curve.accuracies) == {"most", "least", "random"}


def test_the_page_gets_it_bit_by_bit(client):
    first = client.get("/api/curve").json()
    assert first["state"] == "on its way" and first["done"] == 0
    for _ in range(400):
        found = client.get("/api/curve").json()
        if found["state"] == "there":
            break
        time.sleep(0.02)
    assert found["state"] == "there" and found["percentages"] == [0.0, *PERCENTAGES]
    assert len(found["accuracies"]["most"]) == 11 and "measured here on 60 images" in found["text"]
    assert torch.tensor(found["accuracies"]["most"])[0] == torch.tensor(found["accuracies"]["least"])[0]


def test_it_is_measured_although_the_queue_was_full_at_first(subject):
    async def told():
        bench, fig11 = Bench("test", 1), Fig11(subject)
        bench.waiting = 1
        assert fig11.facts(bench).state == "on its way"
        await asyncio.sleep(0.1)
        bench.waiting = 0
        for _ in range(1000):
            await asyncio.sleep(0.02)
            if (found := fig11.facts(bench)).state != "on its way":
                break
        bench.close()
        return found

    assert done(told()).state == "there"


def test_a_classifier_that_fails_is_told(subject):
    class Broken(torch.nn.Module):
        shape = subject.classifier.shape

        def forward(self, images):
            raise RuntimeError("broken")

    async def told():
        bench, fig11 = Bench("test", 4), Fig11(replace(subject, classifier=Broken()))
        fig11.facts(bench)
        for _ in range(1000):
            await asyncio.sleep(0.02)
            if (found := fig11.facts(bench)).state != "on its way":
                break
        with pytest.raises(RuntimeError, match="broken"):
            await fig11._task
        bench.close()
        return found

    found = done(told())
    assert found.state == "none" and found.text == "The curve could not be measured: RuntimeError: broken"
