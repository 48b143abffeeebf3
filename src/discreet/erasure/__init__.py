"""Erase what is held of a person or of a data owner, and say store by store what was done."""

from discreet.erasure.cost import Cost, Forgetting, plan_forgetting, plan_withdrawal
from discreet.erasure.losses import auditor
from discreet.erasure.receipt import Line, Receipt
from discreet.erasure.removal import RECEIPT, forget_owner
from discreet.erasure.stores import Store, erase, erase_visit

__all__ = [
    "RECEIPT",
    "Cost",
    "Forgetting",
    "Line",
    "Receipt",
    "Store",
    "auditor",
    "erase",
    "erase_visit",
    "forget_owner",
    "plan_forgetting",
    "plan_withdrawal",
]
