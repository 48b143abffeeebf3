"""The app that the federation's server runs."""
