"""The app that a data owner's Flower node runs."""
