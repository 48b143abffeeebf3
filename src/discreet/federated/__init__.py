"""Train one adapter with several data owners, none of whom hands over data."""

from discreet.federated.config import TrainConfig, describe_fields

__all__ = ["TrainConfig", "describe_fields"]
