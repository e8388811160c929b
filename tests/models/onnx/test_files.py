"""Files that are damaged, files that keep numbers beside them, and files that point where they must not."""

import hashlib
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import imagrad
from imagrad.errors import CorruptDataError, InputError, MissingDataError, MissingExtraError, UnsupportedOperationError
from imagrad.models.onnx import read_onnx

from .models import FLOAT, model_of

WEIGHT = np.arange(6, dtype=np.float32).reshape(3, 2)


def dense():
    node = helper.make_node("MatMul", ["x", "w"], ["code"], name="dense")
    return model_of(
        [node], {"x": (FLOAT, ["n", 3])}, [helper.make_tensor_value_info("code", FLOAT, None)], {"w": WEIGHT}
    )


def external(location, **entries):
    """A tensor that says that its numbers are elsewhere."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[3, 2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def with_external(path, tensor):
    model = dense()
    model.graph.initializer[0].CopyFrom(tensor)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder with a secret beside it."""
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


_OPENED: list[str] = []
_NOTING = [False]


@pytest.fixture
def opened_files():
    """The files that Python opens; a hook of this kind cannot be taken back, so it is told to stop."""
    _OPENED.clear()
    _NOTING[0] = True
    yield _OPENED
    _NOTING[0] = False


sys.addaudithook(lambda event, arguments: _OPENED.append(str(arguments[0])) if _NOTING[0] and event == "open" else None)


def test_external_data_are_read_from_the_folder(folder):
    (folder / "weights.bin").write_bytes(b"12345678" + WEIGHT.tobytes())
    path = with_external(folder / "net.onnx", external("weights.bin", offset=8, length=24))
    network = read_onnx(path)
    assert torch.equal(network(torch.eye(3)), torch.from_numpy(WEIGHT))
    whole = path.read_bytes() + b"\0weights.bin\0" + (folder / "weights.bin").read_bytes()
    assert network.sha256 == hashlib.sha256(whole).hexdigest()


def test_the_hash_of_a_file_without_external_data_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(dense().SerializeToString())
    assert read_onnx(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_torch_writes_beside_a_file_is_read(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(dense(), path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    assert torch.equal(read_onnx(path)(torch.eye(3)), torch.from_numpy(WEIGHT))


LEADING_OUT = [
    "../secret.bin",
    "{folder}/../secret.bin",
    "inner/../../secret.bin",
    "C:\\secret.bin",
    "..\\secret.bin",
    "",
]


@pytest.mark.parametrize("location", LEADING_OUT)
def test_a_name_that_leads_out_of_the_folder_is_refused(folder, location, opened_files):
    path = with_external(folder / "net.onnx", external(location.format(folder=folder)))
    with pytest.raises(InputError, match=r"must lie in its own folder.*leads out of it\. Nothing was read"):
        read_onnx(path)
    assert str(path) in opened_files
    assert not any("secret" in name for name in opened_files)


def test_a_link_that_leads_out_of_the_folder_is_refused(folder, opened_files):
    (folder / "weights.bin").symlink_to(folder.parent / "secret.bin")
    (folder / "inner").symlink_to(folder.parent)
    for location in ("weights.bin", "inner/secret.bin"):
        with pytest.raises(InputError, match="it is a link that leads out of it"):
            read_onnx(with_external(folder / "net.onnx", external(location)))
    assert not any(name.endswith((".bin", "secret")) for name in opened_files)


def test_a_link_within_the_folder_is_followed(folder):
    (folder / "blob").write_bytes(WEIGHT.tobytes())
    (folder / "weights.bin").symlink_to(folder / "blob")
    assert torch.equal(
        read_onnx(with_external(folder / "net.onnx", external("weights.bin")))(torch.eye(3)), torch.from_numpy(WEIGHT)
    )


def test_a_folder_or_nothing_in_place_of_data_is_refused(folder):
    (folder / "weights").mkdir()
    with pytest.raises(InputError, match="it is no file"):
        read_onnx(with_external(folder / "net.onnx", external("weights")))
    with pytest.raises(MissingDataError, match=r"keeps numbers in 'gone\.bin' beside it"):
        read_onnx(with_external(folder / "net.onnx", external("gone.bin")))


def hidden_in_attribute(tensor):
    model = dense()
    model.graph.node.append(helper.make_node("ConstantOfShape", ["x"], ["y"], value=tensor))
    return model


def hidden_in_graph(tensor):
    model = dense()
    inner = helper.make_graph([], "inner", [], [], [tensor])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
    return model


def hidden_in_function(tensor):
    model = dense()
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    model.functions.append(helper.make_function("own", "f", [], ["y"], [node], [helper.make_opsetid("", 21)]))
    return model


def hidden_in_training(tensor):
    model = dense()
    model.training_info.add().algorithm.initializer.append(tensor)
    return model


@pytest.mark.parametrize("hide", [hidden_in_attribute, hidden_in_graph, hidden_in_function, hidden_in_training])
def test_a_tensor_is_found_wherever_it_hides(folder, hide):
    """Also where it would not be read: a file that tries is refused as a whole."""
    path = folder / "net.onnx"
    path.write_bytes(hide(external("../secret.bin")).SerializeToString())
    with pytest.raises(InputError, match="must lie in its own folder"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("entries", "told"),
    [({"length": 10**9}, "must hold 1000000000 bytes"), ({"offset": -8}, "from -8 on"), ({"length": 20}, "'w'")],
)
def test_external_data_of_the_wrong_size_are_told(folder, entries, told):
    (folder / "weights.bin").write_bytes(WEIGHT.tobytes())
    with pytest.raises(CorruptDataError, match=told):
        read_onnx(with_external(folder / "net.onnx", external("weights.bin", **entries)))


def test_external_data_without_a_name_are_told(folder):
    with pytest.raises(CorruptDataError, match=r"'w' must say where its data are; it names \[\]"):
        tensor = external("x")
        del tensor.external_data[:]
        read_onnx(with_external(folder / "net.onnx", tensor))


def test_a_damaged_file_is_told(tmp_path):
    path = tmp_path / "net.onnx"
    content = dense().SerializeToString()
    for damaged in (content[: len(content) // 2], content[:-3], b"no model at all", b"", b"\x00" * 100):
        path.write_bytes(damaged)
        with pytest.raises(CorruptDataError, match="is damaged, or no ONNX file"):
            read_onnx(path)


def test_a_tensor_with_too_few_numbers_is_told(tmp_path):
    model = dense()
    model.graph.initializer[0].raw_data = b"1234"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CorruptDataError, match="cannot read the tensor 'w'"):
        read_onnx(tmp_path / "net.onnx")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MissingDataError, match=r"cannot read .*gone\.onnx: No such file"):
        read_onnx(tmp_path / "gone.onnx")


def test_a_tensor_of_a_small_type_is_refused(tmp_path):
    model = dense()
    model.graph.initializer[0].data_type = TensorProto.FLOAT8E4M3FN
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedOperationError, match=r"'w' .* is of type FLOAT8E4M3FN; only floating-point"):
        read_onnx(tmp_path / "net.onnx")


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install "imagrad\[onnx\]"'):
        read_onnx(tmp_path / "net.onnx")


def test_the_layers_of_a_file_are_listed_from_python_too(tmp_path):
    onnx.save(dense(), tmp_path / "dense.onnx")
    network = imagrad.open_network(tmp_path / "dense.onnx")
    assert [(layer.name, layer.kind) for layer in network.layers(torch.zeros(2, 3))] == [("code", "MatMul")]
