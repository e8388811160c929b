"""The classifier while it is trained: what it reaches, resumed bit for bit, read back, or misused."""

import numpy as np
import pytest

from imagrad import runs
from imagrad.data.datasets import load_dataset
from imagrad.errors import InputError, RunFolderError, TrainingError
from imagrad.models.classifiers import ClassifierShape, build_classifier
from imagrad.models.saved import load
from imagrad.training.checkpoints import CHECKPOINT, LOG
from imagrad.training.classifier import _Lesson, accuracy, correct, load_classifier, train_classifier
from imagrad.training.config import ClassifierConfig, TrainingConfig
from imagrad.training.data import load_training_data
from imagrad.training.run import Reporter, train


def config(**changes):
    return ClassifierConfig(**{"data": "digits:train[:300]", "epochs": 3, **changes})


class Stop(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "run"
    return folder, train_classifier(config(epochs=10, batch_size=20), folder)


def test_accuracy_is_counted_on_the_test_images_one_by_one(trained):
    folder, metrics = trained
    classifier, test = load_classifier(folder), load_dataset("digits:test")
    hits = [
        int(np.argmax(classifier(image[None]).numpy())) == label
        for image, label in zip(test.images(), test.labels.tolist(), strict=True)
    ]
    assert metrics["accuracy"] == sum(hits) / 360 > 0.5  # by chance 0.1
    assert correct(classifier, test.images(), test.labels).tolist() == hits
    assert accuracy(classifier, test.images()[:7], test.labels[:7]) == pytest.approx(sum(hits[:7]) / 7)


def test_run_folder_holds_everything(trained):
    folder, metrics = trained
    assert {path.name for path in folder.iterdir()} == {
        runs.CONFIG, runs.ENVIRONMENT, runs.METRICS, runs.WEIGHTS, CHECKPOINT, LOG,
    }  # fmt: skip
    assert runs.read_json(folder / runs.METRICS) == metrics and metrics["epochs"] == 10
    assert len((folder / LOG).read_text().splitlines()) == 11
    assert runs.read_config(folder)["training"] == config(epochs=10, batch_size=20).as_dict()
    classifier = load_classifier(folder)
    assert not classifier.training and not any(weights.requires_grad for weights in classifier.parameters())


@pytest.mark.parametrize("stop", [1, 2])
def test_resumed_run_has_the_same_bits(tmp_path, stop):
    def progress(epoch, step, steps, loss):
        if epoch == stop + 1:
            raise Stop

    starts = []
    train_classifier(config(), tmp_path / "whole", reporter=Reporter(start=starts.append))
    with pytest.raises(Stop):
        train_classifier(config(), tmp_path / "parts", reporter=Reporter(progress=progress))
    train_classifier(config(), tmp_path / "parts", resume=True, reporter=Reporter(start=starts.append))
    assert starts == [0, stop]
    for name in (runs.WEIGHTS, CHECKPOINT, LOG, runs.METRICS, runs.CONFIG):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name


def test_killed_before_anything_was_saved(tmp_path):
    """The config alone is there: killed before the environment was written, or in the first epoch."""
    train_classifier(config(epochs=1), tmp_path / "whole")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / runs.CONFIG).write_bytes((tmp_path / "whole" / runs.CONFIG).read_bytes())
    train_classifier(config(epochs=1), tmp_path / "parts", resume=True)
    names = [{path.name for path in (tmp_path / name).iterdir()} for name in ("whole", "parts")]
    assert names[0] == names[1]
    assert (tmp_path / "whole" / runs.WEIGHTS).read_bytes() == (tmp_path / "parts" / runs.WEIGHTS).read_bytes()


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 4}, {"data": "digits:train[:200]"}])
def test_other_settings_cannot_resume(tmp_path, change):
    train_classifier(config(epochs=1), tmp_path / "run")
    with pytest.raises(RunFolderError, match="was begun with other settings; train the classifier into another folder"):
        train_classifier(config(**{"epochs": 1, **change}), tmp_path / "run", resume=True)
    with pytest.raises(RunFolderError, match="exists and is not empty"):
        train_classifier(config(epochs=1), tmp_path / "run")


def test_every_tenth_image_of_a_file_is_only_looked_at(tmp_path):
    """Labels of the held-out images are wrong on purpose: nothing of them is learnt, so none is right."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    images = np.clip(rng.normal(0.2, 0.05, (200, 8, 8)) + 0.6 * labels[:, None, None], 0, 1)
    told = np.where(np.arange(200) % 10 == 9, 1 - labels, labels)
    np.savez(tmp_path / "two.npz", images=images, labels=told)
    found = train_classifier(config(data=str(tmp_path / "two.npz"), epochs=15, batch_size=20), tmp_path / "run")
    assert found["accuracy"] == 0.0 and found["loss"] < 0.1


@pytest.mark.parametrize(("done", "share"), [(0, 1), (0.25, 0.5 + 0.5**1.5), (0.5, 0.5), (1, 0)])
def test_the_rate_falls_along_half_a_cosine(done, share):
    lesson = _Lesson(build_classifier(ClassifierShape((1, 8, 8), ("a", "b")), 0), config(learning_rate=0.01), "cpu")
    lesson._set_rate(done)
    # the cosine is float32
    assert lesson.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * share, abs=1e-8)


def test_every_step_is_told(tmp_path):
    seen = []

    def progress(epoch, step, steps, loss):
        seen.append((epoch, step, steps))

    train_classifier(config(epochs=2), tmp_path / "run", reporter=Reporter(progress=progress))
    assert seen == [(epoch, step, 3) for epoch in (1, 2) for step in (1, 2, 3)]


def test_images_that_cannot_be_classified(tmp_path):
    np.save(tmp_path / "plain.npy", np.zeros((30, 8, 8)))
    np.savez(tmp_path / "few.npz", images=np.zeros((19, 8, 8)), labels=np.arange(19) % 2)
    np.savez(tmp_path / "one.npz", images=np.zeros((30, 8, 8)), labels=np.zeros(30, int))
    for name, message in (
        ("few.npz", "needs at least 20 images; .* has 19"),
        ("one.npz", "at least 2 classes; got 1"),
        ("plain.npy", "needs labelled images|at least 2 classes"),
    ):
        with pytest.raises(InputError, match=message):
            train_classifier(config(data=str(tmp_path / name)), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_folders_without_a_classifier(tmp_path, trained):
    settings = TrainingConfig("digits:train[:50]", epochs=1, hidden=(4,), latents=2)
    train(settings, load_training_data(settings), tmp_path / "autoencoder")
    with pytest.raises(RunFolderError, match="holds no classifier; it was made by `imagrad train`"):
        load_classifier(tmp_path / "autoencoder")
    with pytest.raises(RunFolderError, match="expected a run folder, found nothing"):
        load_classifier(tmp_path / "nothing")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / runs.CONFIG).write_bytes((trained[0] / runs.CONFIG).read_bytes())
    with pytest.raises(RunFolderError, match="its training ended before the first epoch did"):
        load_classifier(tmp_path / "begun")
    (tmp_path / "begun" / runs.WEIGHTS).write_bytes((tmp_path / "autoencoder" / runs.WEIGHTS).read_bytes())
    with pytest.raises(RunFolderError, match=r"do not belong to its config\.json"):
        load_classifier(tmp_path / "begun")


def test_a_classifier_is_no_autoencoder(trained):
    with pytest.raises(
        RunFolderError, match=r"a network config has the keys code, hidden, image_shape, .*; got .*classes"
    ):
        load(trained[0])


@pytest.mark.parametrize("change", [{"epochs": 0}, {"batch_size": 0}, {"threads": 0}])
def test_counts_that_cannot_be(change):
    (name,) = change
    with pytest.raises(InputError, match=f"`{name}` must be at least 1; got 0"):
        config(**change)


def test_a_loss_that_is_no_number(tmp_path):
    with pytest.raises(TrainingError, match="the loss must stay finite"):
        train_classifier(config(learning_rate=1e30), tmp_path / "run")
