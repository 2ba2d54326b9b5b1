"""Tests of the drivers: one conformance suite over all of them, and what each promises alone."""
