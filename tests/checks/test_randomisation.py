"""Weights redrawn layer by layer; pixels shuffled and put back; methods that do not look at the network."""

import numpy as np
import pytest
import torch
from torch import nn

from imagrad.checks.options import RandomisationOptions
from imagrad.checks.randomisation import _cascade, lessons, randomisation
from imagrad.errors import EncoderError

from .planted import PLANTED, column_norms

OPTIONS = RandomisationOptions(images=10)


def check(**changes):
    return randomisation(PLANTED["randomisation"].material(**changes), OPTIONS)


def test_a_network_is_trained_on_shuffled_pixels():
    (lesson,) = lessons(PLANTED["randomisation"].material(seed=3))
    assert (lesson.name, lesson.data, lesson.arrangement) == ("shuffled", "digits", "shuffled:3")


class Two(nn.Module):
    """A network whose layers are not defined in the order in which they are used."""

    def __init__(self):
        super().__init__()
        self.second = nn.Linear(6, 3)
        self.unused = nn.Linear(2, 2)
        self.first = nn.Linear(64, 6)

    def forward(self, images):
        return self.second(torch.relu(self.first(images.flatten(1))))


def test_layers_are_redrawn_from_the_code_down_each_as_it_was_before():
    torch.manual_seed(0)
    network, image = Two(), torch.rand(1, 1, 8, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stages = _cascade(network, image, seed=0)
    assert [name for name, _ in stages] == ["second", "first"]
    last, all_of_them = (stage.state_dict() for _, stage in stages)
    for name, value in before.items():
        assert torch.equal(network.state_dict()[name], value), "the encoder itself is left alone"
        assert torch.equal(last[name], value) == (not name.startswith("second"))
        assert torch.equal(all_of_them[name], value) == name.startswith("unused")
    assert torch.equal(last["second.weight"], all_of_them["second.weight"])
    weight, drawn = before["first.weight"], all_of_them["first.weight"]
    # 384 normal numbers: 4 standard errors
    assert float(drawn.std() / weight.std()) == pytest.approx(1, abs=4 / 768**0.5)
    assert float(drawn.mean()) == pytest.approx(float(weight.mean()), abs=4 * float(weight.std()) / 384**0.5)


def test_a_method_of_a_module_is_redrawn_too():
    network = nn.ModuleDict({"inner": Two()})
    network.encode = lambda images: None
    stages = _cascade(PLANTED["randomisation"].make().encoder, torch.rand(1, 1, 8, 8), seed=0)
    assert [name for name, _ in stages] == ["layers.3", "layers.1"]
    assert all(stage(torch.rand(2, 1, 8, 8)).shape == (2, 4) for _, stage in stages)


def test_each_stage_is_reported_and_only_the_last_counts():
    result = check()
    last, everything = result.numbers["layers"]
    assert last["redrawn_down_to"] == "layers.3" and last["spearman"]["value"] == pytest.approx(1)
    assert everything["redrawn_down_to"] == "layers.1"
    assert result.score.value == pytest.approx(1 - everything["spearman"]["value"])
    twice, redrawn, moved, back = result.criteria
    assert twice.measured == pytest.approx(1) and redrawn.measured == pytest.approx(1 - result.score.low)
    assert moved.measured == result.numbers["shuffled"]["value"] < 0.5
    assert back.measured == result.numbers["shuffled_and_put_back"]["value"] == pytest.approx(1)
    assert result.verdict.outcome == "passes"


def unmet(result):
    assert not result.passed
    return " ".join(criterion.text for criterion in result.criteria if not criterion.is_met)


def test_a_method_that_does_not_look_at_the_weights_fails():
    assert "all layers redrawn" in unmet(check(explain=lambda encoder, images, seed: images.clone()))


def test_a_method_that_draws_lots_fails():
    def drawn(encoder, images, seed):
        key = int(1e6 * abs(float(encoder(images).double().sum()))) + seed
        return torch.rand(images.shape, generator=torch.Generator().manual_seed(key))

    found = unmet(check(explain=drawn))
    assert "another seed" in found and "put back" in found and "all layers redrawn" not in found


def test_pixels_in_a_fixed_disorder_fail_where_a_network_is_trained():
    """Rank correlation does not see one disorder for all; a network trained on shuffled pixels does."""
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))

    def disordered(encoder, images, seed):
        return column_norms(encoder, images, seed).flatten(1)[:, order].view(images.shape)

    assert "put back" in unmet(check(explain=disordered))
    assert check(explain=disordered, factory=None).passed


def test_without_a_factory_nothing_is_trained():
    result = check(factory=None)
    assert result.passed and len(result.criteria) == 2 and "shuffled" not in result.numbers


def test_controls_do_not_move():
    for control in check().controls:
        assert control.score.value == pytest.approx(0, abs=1e-12) and control.lead.low > 0.5


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (lambda images: images.flatten(1), "must be an nn.Module or a method of one; got function. Wrap it"),
        (nn.Flatten(), "uses no layer with weights of its own: there is nothing to redraw"),
    ],
)
def test_what_has_no_weights(encoder, message):
    with pytest.raises(EncoderError, match=message):
        check(encoder=encoder, explain=lambda encoder, images, seed: images.clone())


def test_figures_show_eight_images_at_most():
    arrays = check().arrays
    assert list(arrays) == ["original", "redrawn down to layers.3", "redrawn down to layers.1"]
    assert all(maps.shape == (8, 8, 8) for maps in arrays.values())
    assert np.array_equal(arrays["original"], arrays["redrawn down to layers.3"])
