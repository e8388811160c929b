"""The curve of Fig. 11 as it is measured in the pauses."""

import time

import pytest
import torch

import imagrad
from imagrad.checks.rankings import flipped, pixels_of, ranking
from imagrad.explorer.curves import PERCENTAGES, measured, trial_of


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
