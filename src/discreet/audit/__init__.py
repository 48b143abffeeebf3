"""What can still be read from what a vision tower hands on, and how to take a concept out of it."""

from discreet.audit.leace import Eraser, fit_eraser, one_hot

__all__ = ["Eraser", "fit_eraser", "one_hot"]
