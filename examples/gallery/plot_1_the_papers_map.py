"""
The paper's map
===============

Hello.
"""

import imagrad

images = imagrad.load_dataset("digits:test[:4]").images()
print(images.shape)
