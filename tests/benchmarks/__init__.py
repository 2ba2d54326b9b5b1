"""Tests of the benchmarks: what they compute. What they measure is never asserted."""
