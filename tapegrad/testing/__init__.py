"""Checks of derivatives: of any function, and of a primitive with the rules that its author wrote."""

from .differences import check_grads
from .rules import check_rule

__all__ = ["check_grads", "check_rule"]
