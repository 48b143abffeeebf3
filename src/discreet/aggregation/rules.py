"""The aggregation rules, by the word in the plan; a new one is a file and a line here."""

from collections.abc import Mapping

from discreet.aggregation.fedex import FEDEX
from discreet.aggregation.fedit import FEDIT
from discreet.aggregation.fedsb import FEDSB
from discreet.aggregation.ffa import FFA
from discreet.aggregation.flexlora import FLEXLORA
from discreet.aggregation.flora import FLORA
from discreet.aggregation.rolora import ROLORA
from discreet.aggregation.rule import Rule

RULES: Mapping[str, Rule] = {
    rule.name: rule for rule in (FEDIT, FFA, ROLORA, FEDSB, FLEXLORA, FEDEX, FLORA)
}
"""Every rule, by its name."""
