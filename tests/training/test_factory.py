"""Lessons in, encoders out: imagrad's own in run folders, and anybody's."""

import pytest
import torch

from imagrad.checks.material import Material, by_method
from imagrad.checks.one_class import one_class
from imagrad.checks.options import OneClassOptions
from imagrad.data.datasets import load_dataset
from imagrad.errors import InputError, RunFolderError
from imagrad.training.config import TrainingConfig
from imagrad.training.data import load_training_data
from imagrad.training.factory import Lesson, RunFolders, one_by_one
from imagrad.training.run import train

CONFIG = TrainingConfig("replaced", epochs=2, hidden=(8,), latents=3)
LESSONS = [Lesson("three", "digits:train/label=3"), Lesson("corner", "digits:train[:50]", "bottom-right:12")]


def test_a_lesson_has_its_images_arranged():
    three, corner = (lesson.images() for lesson in LESSONS)
    train_set = load_dataset("digits:train")
    assert torch.equal(three, train_set.images()[train_set.labels == 3])
    assert torch.equal(corner[:, :, 4:, 4:], train_set.images()[:50]) and float(corner[:, :, :4].sum()) == 0
    assert len(Lesson("all", "digits").images()) == 1437, "of a name alone, the train split"


def test_a_factory_of_any_function():
    seen = []

    def train_one(images):
        seen.append(images)
        return lambda x: x.flatten(1)[:, : len(seen)]

    first, second = one_by_one(train_one)(LESSONS)
    assert [tuple(images.shape[1:]) for images in seen] == [(1, 8, 8), (1, 12, 12)]
    assert first is not second and callable(first)


def test_run_folders_are_those_of_plain_trainings(tmp_path):
    heard = []
    factory = RunFolders(CONFIG, tmp_path / "runs", workers=1, told=lambda out, done, epochs: heard.append(out.name))
    encoders = factory(LESSONS)
    for lesson, encode in zip(LESSONS, encoders, strict=True):
        config = factory.job(lesson).config
        assert (config.data, config.arrangement, config.epochs) == (lesson.data, lesson.arrangement, 2)
        train(config, load_training_data(config), tmp_path / "alone" / lesson.name)
        for name in ("weights.safetensors", "config.json", "metrics.json"):
            alone, beside = (tmp_path / folder / lesson.name / name for folder in ("alone", "runs"))
            assert alone.read_bytes() == beside.read_bytes(), name
        assert encode(lesson.images()[:4]).shape == (4, 3)
        assert not encode.__self__.training
    assert set(heard) == {"three", "corner"}
    heard.clear()
    again = factory(LESSONS)
    assert not heard, "trained already"
    assert torch.equal(again[0](LESSONS[0].images()), encoders[0](LESSONS[0].images()))


def test_networks_of_other_settings_are_not_taken(tmp_path):
    RunFolders(CONFIG, tmp_path, workers=1)(LESSONS[:1])
    other = TrainingConfig("replaced", epochs=2, hidden=(8,), latents=3, seed=1)
    with pytest.raises(RunFolderError, match="was begun with seed = 0, not 1"):
        RunFolders(other, tmp_path, workers=1)(LESSONS[:1])
    renamed = [Lesson("three", "digits:train/label=4")]
    with pytest.raises(RunFolderError, match="was begun with data = digits:train/label=3, not digits:train/label=4"):
        RunFolders(CONFIG, tmp_path, workers=1)(renamed)


def test_some_lessons_may_take_longer(tmp_path):
    factory = RunFolders(CONFIG, tmp_path, epochs=lambda lesson: 5 if lesson.name == "three" else 1)
    assert [factory.job(lesson).config.epochs for lesson in LESSONS] == [5, 1]


def test_an_arrangement_that_cannot_be_read():
    with pytest.raises(InputError, match="cannot read the arrangement 'upstairs'"):
        Lesson("x", "digits", "upstairs").images()


@pytest.mark.slow
def test_ten_networks_of_one_class_each_side_by_side(tmp_path):
    """From training to verdict, with the paper's method: each map is that of the network's own digit."""
    config = TrainingConfig("replaced", epochs=40, hidden=(32,), latents=8)
    factory = RunFolders(config, tmp_path, workers=2)
    material = Material("digits", "saliency", by_method("saliency"), factory=factory)
    result = one_class(material, OneClassOptions(images=20))
    assert len(list(tmp_path.glob("class-*/metrics.json"))) == 10
    assert result.numbers["identified"] >= 5, str(result)  # one by chance
    again = one_class(material, OneClassOptions(images=20))
    assert again.as_dict() == result.as_dict()
