"""The loop against a plain one written out here; its randomness; what stops it."""

import pytest
import torch
from torch import nn

from imagrad.complexstep.threads import threads
from imagrad.data.datasets import load_dataset
from imagrad.errors import InputError, TrainingError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.reproduce import main_line
from imagrad.training import loop
from imagrad.training.config import TrainingConfig
from imagrad.training.contraction import Contraction
from imagrad.training.loop import Trainer, generator
from imagrad.training.losses import VARIANTS
from imagrad.training.statistics import active_latents, sparseness

from ..marks import slow

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


# --- the family of Table 1 ---

HIDDEN = {"dense": (16,), "conv": (4,)}


def trainer_of(variant, network="dense", **changes):
    settings = {"data": "digits", "epochs": 2, "hidden": HIDDEN[network], "latents": 5, **changes}
    config = TrainingConfig(variant=variant, network=network, **settings)
    sizes = NetworkConfig(network, (1, 8, 8), config.hidden, config.latents, config.ending)
    return Trainer(build(sizes, config.seed), config)


def trained(variant, images, **changes):
    """Its autoencoder after some epochs with a large step."""
    ours = trainer_of(variant, **{"epochs": 20, "learning_rate": 0.01, **changes})
    list(ours.epochs(images, images[:1], silent))
    return ours.autoencoder.requires_grad_(False)


@pytest.mark.parametrize("network", ["dense", *slow("conv")])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns_and_the_seed_decides_its_bits(variant, network, images):
    first, again, other = (trainer_of(variant, network, seed=seed) for seed in (1, 1, 2))
    history = list(first.epochs(images, images, silent))
    assert history[1].loss < history[0].loss < 0.75  # log 2 = 0.69 is that of grey pixels
    assert history[1].validation_loss < history[0].validation_loss
    assert all((epoch.penalty > 0) == (variant != "denoising") for epoch in history)
    assert list(again.epochs(images, images, silent)) == history
    for one, two in zip(first.autoencoder.parameters(), again.autoencoder.parameters(), strict=True):
        assert torch.equal(one, two)
    assert next(other.epochs(images, images, silent)) != history[0]


def test_penalty_of_an_epoch_weights_images_equally(images):
    """With steps too small to change a weight: 110 images in batches of 25, the last of 10."""
    still = trainer_of("sparse", penalty=0.5, learning_rate=1e-30)
    codes = still.autoencoder.encode(images).detach().double()
    epoch = next(still.epochs(images, images, silent))
    assert epoch.penalty == pytest.approx(0.5 * float(codes.sum()) / 110, rel=1e-5)
    assert epoch.loss == pytest.approx(still.evaluate(images, 0.0), rel=1e-5)


def test_progress_shows_the_sum_of_both_terms(images):
    seen = []
    ours = trainer_of("sparse", penalty=0.5, epochs=1)
    epoch = next(ours.epochs(images, images, lambda *step: seen.append(step)))
    assert seen == [(1, 5, 5, pytest.approx(epoch.loss + epoch.penalty, rel=1e-12))]


def test_a_larger_l1_penalty_makes_codes_smaller_and_sparser(images):
    weak, strong = (trained("sparse", images, penalty=penalty).encode(images) for penalty in (0.0, 0.002))
    assert float(strong.sum()) < 0.5 * float(weak.sum())
    assert sparseness(strong) > sparseness(weak) + 0.1
    assert strong.any(), "no code is left"


@pytest.mark.parametrize("target", [0.05, 0.3])
def test_the_divergence_of_coins_draws_each_mean_activation_to_its_target(target, images):
    means = trained("sparse-kl", images, penalty=10.0, target=target).encode(images).mean(dim=0)
    assert means.tolist() == pytest.approx([target] * 5, rel=0.15)
    without = trained("sparse-kl", images, penalty=0.0, target=target).encode(images).mean(dim=0)
    assert float((without - target).abs().min()) > 0.1


@pytest.mark.parametrize("jacobian", ["probes", *slow("engine")])
def test_a_larger_contractive_penalty_contracts(jacobian, images):
    weak, strong = (
        trained("contractive", images, penalty=penalty, epochs=5, code="sigmoid", jacobian=jacobian)
        for penalty in (0.0, 0.1)
    )
    norms = [float(Contraction(one, "engine")(images, torch.Generator()).mean()) for one in (weak, strong)]
    assert norms[1] < 0.5 * norms[0]
    assert float(strong.encode(images).var(dim=0).max()) > 0, "nothing is left of the code"


def test_closed_form_and_engine_train_alike(images):
    """Float32: the two differ by rounding, which Adam turns into steps where a gradient is tiny."""
    closed, engine = (
        trained("contractive", images, penalty=0.01, epochs=1, hidden=(), code="sigmoid", jacobian=how)
        for how in ("closed", "engine")
    )
    for one, two in zip(closed.parameters(), engine.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-3)  # five steps of 0.01


def test_a_larger_beta_leaves_fewer_latents_active(images):
    weak, strong = (trained("variational", images, beta=beta) for beta in (0.1, 20.0))
    assert active_latents(weak.encode(images), "gaussian") == 5
    assert active_latents(strong.encode(images), "gaussian") == 0
    assert float(strong.log_variance(images).abs().mean()) < 0.1  # the code is the prior, N(0, 1)


@pytest.mark.parametrize("jacobian", ["closed", "engine", "probes"])
def test_a_contractive_loss_that_is_no_number_names_its_step(jacobian, images):
    """Also where it is the Jacobian that fails first."""
    hidden = () if jacobian == "closed" else (16,)
    broken = trainer_of("contractive", hidden=hidden, jacobian=jacobian, penalty=1.0)
    images = images.clone()
    images[7] = torch.nan
    order = torch.randperm(110, generator=generator(0, 0, 1)).tolist()
    with pytest.raises(TrainingError, match=rf"became nan at step {order.index(7) // 25 + 1} of epoch 1"):
        list(broken.epochs(images, images, silent))


def test_nothing_is_drawn_twice_from_one_generator():
    """Order, noise, validation noise, figures and draws of a loss: each has a key of its own."""
    purposes = (loop._ORDER, loop._NOISE, loop._VALIDATION, loop._FIGURES, loop._DRAWS)
    states = {tuple(generator(0, purpose, 1).get_state().tolist()) for purpose in purposes}
    assert len(states) == len(purposes) and main_line._FIGURE_NOISE == loop._FIGURES
