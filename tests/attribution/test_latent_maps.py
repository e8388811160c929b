"""Maps of single latents against torch's own rows and columns of the Jacobian."""

import pytest
import torch

import imagrad
from imagrad import runs
from imagrad.attribution.latent_maps import latent_maps, painted_maps
from imagrad.errors import DerivativeError, InputError


def test_maps_of_latents_are_rows_of_the_jacobian(autoencoder, images):
    found = latent_maps(autoencoder.encode, images, [3, 1])
    assert found.maps.shape == (4, 2, 1, 8, 8) and found.latents == (3, 1) and found.certificate.passed
    assert torch.equal(found.maps, imagrad.jacobian(autoencoder.encode, images)[:, [3, 1]])
    own = torch.func.jacrev(lambda x: autoencoder.encode(x[None])[0])(images[0])[[3, 1]]
    assert torch.allclose(found.maps[0], own, atol=1e-6)  # float32
    assert found.maps.min() < 0 < found.maps.max(), "signed"


def test_painted_maps_are_columns_of_the_decoders_jacobian(autoencoder, images):
    codes = autoencoder.encode(images)
    found = painted_maps(autoencoder.decode, codes, [4, 0, 2])
    own = torch.stack([torch.func.jacrev(lambda z: autoencoder.decode(z[None])[0])(code) for code in codes])
    assert found.maps.shape == (4, 3, 1, 8, 8) and found.certificate.passed
    assert torch.allclose(found.maps, own[..., [4, 0, 2]].movedim(-1, 1), atol=1e-6)  # float32
    parts = painted_maps(autoencoder.decode, iter([codes[:3], codes[3:]]), [4, 0, 2], certify="none")
    assert torch.allclose(parts.maps, found.maps, atol=1e-7) and parts.certificate is None


def test_they_are_saved(autoencoder, images, tmp_path):
    found = latent_maps(autoencoder.encode, images[:1], [2], certify="full")
    found.save(tmp_path / "m.safetensors")
    tensors, facts = runs.read_tensors(tmp_path / "m.safetensors")
    assert torch.equal(tensors["maps"], found.maps) and facts["latents"] == [2] and facts["certificate"]["passed"]


def test_wrong_maps_are_not_returned(autoencoder, images, monkeypatch):
    from imagrad.attribution import latent_maps as home

    monkeypatch.setattr(home, "jacobian_of", lambda block: torch.ones(len(block.images), 1, 1, 8, 8))
    with pytest.raises(DerivativeError, match="the maps must agree with derivatives taken by other means"):
        latent_maps(autoencoder.encode, images, [1])


@pytest.mark.parametrize(
    ("function", "latents", "message"),
    [
        (latent_maps, [], "`latents` must name at least one latent; it names none"),
        (latent_maps, [5], r"`latents` must be different indices from 0 to 4; got \[5\]"),
        (painted_maps, [5], r"`latents` must be different indices from 0 to 4; got \[5\]"),
        (painted_maps, [1, 1], r"`latents` must be different indices from 0 to 4; got \[1, 1\]"),
    ],
)
def test_latents_that_cannot_be(autoencoder, images, function, latents, message):
    decodes = function is painted_maps
    with pytest.raises(InputError, match=message):
        function(
            *((autoencoder.decode, autoencoder.encode(images)) if decodes else (autoencoder.encode, images)), latents
        )


def test_codes_must_be_rows(autoencoder):
    with pytest.raises(InputError, match=r"`codes` must have shape \(n, q\); got \(2, 1, 5\)"):
        painted_maps(autoencoder.decode, torch.zeros(2, 1, 5), [0])
