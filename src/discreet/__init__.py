"""discreet: a user-aware multimodal assistant that keeps what it sees to itself."""

__version__ = "0.1.0"
