"""The loop against a plain one written out here; its randomness; what stops it."""

import pytest
import torch
from torch import nn

from imagrad.data.datasets import load_dataset
from imagrad.errors import InputError, TrainingError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.training.config import TrainingConfig
from imagrad.training.loop import Trainer, generator, threads

NETWORK = NetworkConfig("dense", (1, 8, 8), (16,), 5)


def trainer(**changes):
    config = TrainingConfig(data="digits", epochs=2, hidden=(16,), latents=5, **changes)
    return Trainer(build(NETWORK, config.seed), config)


def silent(epoch, step, steps, loss):
    pass


@pytest.fixture(scope="module")
def images():
    return load_dataset("digits:train[:110]").images()


def test_equals_a_plain_loop(images):
    """Same first weights, order and noise: Adam of Table 2 on the cross-entropy of the clean image."""
    ours = trainer(seed=5, kappa=0.2)
    history = list(ours.epochs(images, images, silent))
    net = build(NETWORK, 5)
    plain = nn.Sequential(net.encoder, net.decoder)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.001, betas=(0.9, 0.999), eps=1e-8)
    for epoch in (1, 2):
        order = torch.randperm(110, generator=generator(5, 0, epoch))
        noise = generator(5, 1, epoch)
        losses = []
        for start in range(0, 110, 25):
            clean = images[order[start : start + 25]]
            noisy = (clean + 0.2 * torch.randn(clean.shape, generator=noise)).clip(0, 1)
            pixels = torch.sigmoid(plain(noisy)).view_as(clean)
            loss = nn.functional.binary_cross_entropy(pixels, clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append((float(loss.detach()), len(clean)))
        mean = sum(loss * count for loss, count in losses) / 110  # the last batch is smaller: 10 images
        assert history[epoch - 1].loss == pytest.approx(mean, rel=1e-5)
    for mine, theirs in zip(ours.autoencoder.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=2e-5)  # Adam turns rounding of tiny gradients into steps


def test_loss_falls(images):
    history = list(trainer().epochs(images, images, silent))
    assert [epoch.number for epoch in history] == [1, 2]
    assert history[1].loss < history[0].loss < 0.7
    assert history[1].validation_loss < history[0].validation_loss


def test_noise_and_order_are_keyed_by_seed_purpose_and_epoch():
    draws = {
        tuple(torch.rand(3, generator=generator(*key)).tolist()) for key in [(0, 0, 1), (0, 0, 2), (0, 1, 1), (1, 0, 1)]
    }
    assert len(draws) == 4
    assert torch.equal(torch.rand(3, generator=generator(7, 1, 3)), torch.rand(3, generator=generator(7, 1, 3)))


def test_the_global_generator_is_left_alone(images):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    list(trainer().epochs(images, images, silent))
    assert torch.equal(torch.rand(2), expected)


def test_progress_counts_every_step(images):
    seen = []
    list(trainer(batch_size=1).epochs(images, images, lambda *step: seen.append(step[:3])))
    assert seen == [(epoch, step, 110) for epoch in (1, 2) for step in (50, 100, 110)]


def test_training_uses_the_threads_it_is_told(images):
    seen = []
    count = torch.get_num_threads() + 1
    list(trainer(threads=count).epochs(images, images, lambda *step: seen.append(torch.get_num_threads())))
    assert set(seen) == {count}


def test_validation_uses_kappa_and_seed(images):
    losses = {
        key: next(trainer(seed=key[0], kappa=key[1]).epochs(images, images, silent)) for key in [(0, 0.0), (0, 0.5)]
    }
    assert losses[0, 0.5].validation_loss > losses[0, 0.0].validation_loss
    one, other = trainer(seed=1), trainer(seed=2)
    other.autoencoder.load_state_dict(one.autoencoder.state_dict())
    assert one.evaluate(images, 0.5) != other.evaluate(images, 0.5)


def test_evaluation_is_repeatable_and_weights_images_equally(images):
    one = trainer(kappa=0.3)
    assert one.evaluate(images, 0.3) == one.evaluate(images, 0.3)
    clean = [one.evaluate(images[k : k + 1], 0.0) for k in range(len(images))]
    assert one.evaluate(images, 0.0) == pytest.approx(sum(clean) / len(clean), rel=1e-5)


def test_a_loss_that_is_no_number_stops_the_training(images):
    broken = trainer()
    with torch.no_grad():
        broken.autoencoder.decoder[0].weight[0, 0] = torch.nan
    with pytest.raises(
        TrainingError, match=r"the loss must stay finite; it became nan at step 1 of epoch 1.*learning_rate"
    ):
        list(broken.epochs(images, images, silent))
    assert broken.history == []


def test_a_step_that_ruins_the_weights_is_noticed_in_its_epoch(images):
    """One step: its loss was taken before it, so that only the validation loss shows what it did."""
    broken = trainer(batch_size=1000, learning_rate=1e30)
    with pytest.raises(TrainingError, match="the loss must stay finite"):
        list(broken.epochs(images, images, silent))
    assert broken.history == []


def test_threads_are_set_inside_and_restored_even_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1; got 0"),
        ({"batch_size": -1}, "`batch_size` must be at least 1"),
        ({"latents": 0}, "`latents` must be at least 1"),
        ({"threads": 0}, "`threads` must be at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be positive"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be positive"),
        ({"seed": -1}, "`seed` must not be negative"),
    ],
)
def test_impossible_settings(change, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig(data="digits", **change)
