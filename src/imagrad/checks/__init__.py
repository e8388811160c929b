"""Sanity checks of attribution methods: section 7 of the paper with numbers, intervals, controls and verdicts."""
