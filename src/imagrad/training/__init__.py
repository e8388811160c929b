"""Training autoencoders: the losses of Table 1 and the loop."""
