"""
A black box in NumPy
====================

Not every encoder is a network. This one is a NumPy function that turns an image into six numbers: its mass, its
centre and its second moments. No autograd knows it; the complex step only needs to run it on complex numbers.
"""

import numpy as np
import torch

import imagrad
from imagrad.complexstep import jacobian_of_array
from imagrad.figures import draw_patterns

ROWS, COLUMNS = np.mgrid[0:8, 0:8] / 7.0


def moments(image):
    """Return mass, centre and second moments of an image, (8, 8) -> (6,)."""
    mass = image.sum()
    row, column = (ROWS * image).sum() / mass, (COLUMNS * image).sum() / mass
    down, right = ROWS - row, COLUMNS - column
    tall, wide, slant = ((product * image).sum() / mass for product in (down * down, right * right, down * right))
    return np.stack([mass / 64, row, column, tall, wide, slant])


images = imagrad.load_dataset("digits:test[:3]").images()
points = images[:, 0].double().numpy()

# %%
# Each derivative costs one run of the function. What quietly loses an imaginary part (``abs``, ``norm``, a cast to
# real numbers) would give a wrong derivative without a word; such guards are on all the time, and raise.

jacobians = np.stack([jacobian_of_array(moments, point) for point in points])  # (3, 6, 8, 8)
print(jacobians.shape)

# %%
# All but the mass are larger where a pixel lies far from the centre of its digit, black or not: a white dot there would
# move the centre most. Sensitivity is not contribution.

names = ["mass", "row", "column", "tall", "wide", "slant"]
figure = draw_patterns(torch.from_numpy(jacobians), images=images, titles=names, label="derivative")

# %%
# Where the complex step itself does not do
# -----------------------------------------
#
# ``np.linalg.norm`` takes the modulus of complex numbers. The guard sees it, and lifted arrays know its derivative.


def direction(image):
    """Return the image as a unit vector."""
    return (image / np.linalg.norm(image)).ravel()


try:
    jacobian_of_array(direction, points[0])
except imagrad.ImagradError as error:
    print(f"{type(error).__name__}: {error}")

found = jacobian_of_array(direction, points[0], arithmetic="lifted").reshape(64, 64)
unit = direction(points[0])
exact = (np.eye(64) - np.outer(unit, unit)) / np.linalg.norm(points[0])
print(f"off by {np.abs(found - exact).max():.1e} from the formula")
assert np.allclose(found, exact, atol=1e-14)
