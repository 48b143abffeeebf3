"""Tests of the secure aggregation room."""
