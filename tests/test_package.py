import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import imagrad
from imagrad import errors

ROOT = Path(__file__).parent.parent


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_is_lazy():
    heavy = python("import imagrad, sys; print([m for m in ('torch', 'numpy', 'matplotlib') if m in sys.modules])")
    assert heavy == "[]"


def test_all_is_sorted_and_importable():
    assert sorted(imagrad.__all__) == imagrad.__all__
    for name in imagrad.__all__:
        assert getattr(imagrad, name) is not None
    assert set(imagrad.__all__) <= set(dir(imagrad))


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="module 'imagrad' has no attribute 'salience'"):
        _ = imagrad.salience


def test_version_is_in_the_changelog_and_citation():
    assert imagrad.__version__ == metadata.version("imagrad")
    assert f"## {imagrad.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {imagrad.__version__}" in (ROOT / "CITATION.cff").read_text()


def test_no_torchvision_and_no_cuda_packages_come_along():
    names = {(dist.metadata["Name"] or "").lower() for dist in metadata.distributions()}
    assert not names & {"torchvision", "torchaudio"}
    if "+cpu" in metadata.version("torch"):
        assert not [name for name in names if name.startswith("nvidia-")]


def test_error_tree_names_every_error():
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, errors.ImagradError):
            assert re.search(rf"\b{name}\b", errors.__doc__), f"{name} is missing from the drawn tree"
            assert error.exit_code in (1, 2)
