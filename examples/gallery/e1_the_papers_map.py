"""
The paper's map
===============

The network of the paper, 784-128-32-128-784, a denoising autoencoder trained on MNIST, ships with imagrad. Its map of
an image says how far the code moves for a small change of each pixel (Eq. 12):

    R_i = sqrt( sum_j (dg_j / dx_i)^2 )

"""

import torch

import imagrad
from imagrad.complexstep import literal_jacobian
from imagrad.data.fitting import Fit

autoencoder = imagrad.load()

# %%
# So that nothing has to be downloaded, the images are the small digits of scikit-learn, brought to 28 x 28. They are
# not what the network was trained on; with MNIST at hand, ``imagrad.load_dataset("mnist:test[:4]")`` takes their
# place.

digits = imagrad.load_dataset("digits:test[:4]", fit=Fit((1, 28, 28), "resize"))
images = digits.images()

result = imagrad.saliency(autoencoder.encode, images)
figure = imagrad.draw(result, titles=digits.titles)

# %%
# All maps of a figure share their levels: red in one is as much as red in another.
#
# The certificate
# ---------------
#
# Some of the very numbers that were returned have been computed anew, by other means:

print(result.certificate)

# %%
# The paper's own loop
# --------------------
#
# The paper perturbs one pixel after the other by 1e-16 i, in complex arithmetic (Eq. 2). imagrad has that loop too,
# as a reference. Its norms over the latents are the map, up to the rounding of float32:

jacobian = literal_jacobian(lambda image: autoencoder.encode(image[None])[0], images[0])  # (32, 1, 28, 28)
by_hand = jacobian.square().sum(dim=0).sqrt()
worst = ((by_hand - result.maps[0]).abs().max() / by_hand.max()).item()
print(f"{tuple(jacobian.shape)}, {jacobian.dtype}; worst difference, relative to the largest value: {worst:.1e}")
assert torch.allclose(by_hand, result.maps[0], rtol=1e-4, atol=1e-5)
