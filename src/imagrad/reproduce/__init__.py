"""The paper from its first step to its last figure."""
