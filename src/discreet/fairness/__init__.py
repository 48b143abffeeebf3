"""Whom it serves worse: gaps between groups, flips between twins, and when they mean something."""
