"""How good a detector is: fake is the positive class, higher scores mean more fake.

Every function validates, then computes; what is undefined is `None` with a stated reason in its docstring, never a
silent NaN or 0. Definitions: EER at the threshold where |FPR - FNR| is least, as the mean of the two; a cell of a
recording is fake when any part of it is (PartialSpoof's rule).
"""

from model.metrics.classes import accuracy, confusion, macro_f1
from model.metrics.ranking import equal_error_rate, equal_error_threshold

__all__ = ["accuracy", "confusion", "equal_error_rate", "equal_error_threshold", "macro_f1"]
