"""Tests of the federated room."""
