"""Autoencoders, and reading them back from where they were saved."""
