"""Contract tests of methods, for the ones here and for anybody's own.

from harness.testing import check_dictionary
check_dictionary(MyMethod, MyMethod.Params(...))
"""

from harness.testing.decoders import check_next_token
from harness.testing.dictionaries import SETTING, check_dictionary, planted, planted_truth
from harness.testing.documented import check_documented
from harness.testing.explainers import check_explainer, planted_predictions
from harness.testing.probes import ANSWERS, check_error_probe
from harness.testing.steerers import check_steerer, planted_behaviour

__all__ = [
    "ANSWERS",
    "SETTING",
    "check_dictionary",
    "check_documented",
    "check_error_probe",
    "check_explainer",
    "check_next_token",
    "check_steerer",
    "planted",
    "planted_behaviour",
    "planted_predictions",
    "planted_truth",
]
