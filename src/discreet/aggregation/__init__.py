"""What a server makes of several owners' adapters: rules, means, robust means, server optimizers.

Tensors by name in, tensors by name out: no Flower, no model, no privacy accounting.

>>> import torch
>>> combine = make_combine("mean", {"q.lora_B.default.weight": (1,)}, hostile=0)
>>> sent = {"q.lora_B.default.weight": torch.tensor([1.0])}
>>> accumulator = RULES["ffa"].start(sent, 1, combine)
>>> for moved in (1.0, 3.0):
...     accumulator.add({"q.lora_B.default.weight": torch.tensor([moved])})
>>> accumulator.result()
{'q.lora_B.default.weight': tensor([3.])}
"""

from discreet.aggregation.combines import COMBINES, least_updates, make_combine
from discreet.aggregation.linear import LinearRule
from discreet.aggregation.rule import Accumulator, Combine, Compatibility, Rule
from discreet.aggregation.rules import RULES
from discreet.aggregation.server_optimizers import (
    SERVER_OPTIMIZERS,
    ServerOptimizer,
    make_server_optimizer,
)
from discreet.aggregation.states import Shapes, State, layers_of, product

__all__ = [
    "COMBINES",
    "RULES",
    "SERVER_OPTIMIZERS",
    "Accumulator",
    "Combine",
    "Compatibility",
    "LinearRule",
    "Rule",
    "ServerOptimizer",
    "Shapes",
    "State",
    "layers_of",
    "least_updates",
    "make_combine",
    "make_server_optimizer",
    "product",
]
