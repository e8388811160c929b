"""A whole reproduction, small, done once for all tests of it."""

import pytest

from imagrad.reproduce.report import write_report
from imagrad.reproduce.study import Study

from .tiny import tiny_preset, write_two_classes


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items):
    """Leave what needs a whole reproduction out of the quick suite, and do each in one process: they take long."""
    for item in items:
        for whole in {"study", "family"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group(whole))


@pytest.fixture(scope="session")
def two_classes(tmp_path_factory):
    """Two classes of digits in a file."""
    path = tmp_path_factory.mktemp("data") / "two.npz"
    write_two_classes(path)
    return str(path)


@pytest.fixture(scope="session")
def study(two_classes, tmp_path_factory):
    """All steps and the report; tests must leave its folder as it is."""
    study = Study(tiny_preset(two_classes), tmp_path_factory.mktemp("studies") / "all", workers=1)
    study.run()
    write_report(study)
    return study


@pytest.fixture(scope="session")
def short_study(two_classes, tmp_path_factory):
    """The fifth check alone, and the report; tests must leave its folder as it is."""
    study = Study(tiny_preset(two_classes), tmp_path_factory.mktemp("studies") / "short", workers=1)
    study.run(["check5"])
    write_report(study)
    return study
