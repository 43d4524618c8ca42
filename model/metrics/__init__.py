"""How good a detector is: fake is the positive class, higher scores mean more fake.

    classes      three verdicts: confusion, accuracy, precision, recall, F1
    ranking      scores of clips or cells: EER, ROC and DET, errors at a threshold
    costs        minDCF, actDCF, Cllr (ASVspoof 5), min t-DCF (ASVspoof 2019)
    calibration  reliability, expected calibration error
    cells        where, at one resolution: segment EER, millisecond EER
    selective    what not judging gains: risk-coverage curve, AURC
    spans        where, in seconds: precision to IoU, AP, boundary errors, false alarms
    bootstrap    intervals for all of them, clustered by speaker

Every function validates, then computes; what is undefined is `None` with a stated reason in its docstring, never a
silent NaN or 0. In arrays of resamples it is NaN.
"""

from model.metrics.bootstrap import Interval, Resamples, equal_error_interval, interval, resamples, sums
from model.metrics.calibration import Reliability, expected_calibration_error, reliability
from model.metrics.cells import RESOLUTIONS_MS, Cells, Recording, gather
from model.metrics.classes import (
    accuracy,
    confusion,
    f1,
    macro_f1,
    precision,
    recall,
    two_class_accuracy,
    two_class_macro_f1,
)
from model.metrics.costs import AsvErrors, actual_dcf, asv_errors, cllr, min_dcf, min_tdcf
from model.metrics.ranking import (
    Curve,
    equal_error_rate,
    equal_error_threshold,
    error_curve,
    error_rates,
    half_total_error_rate,
    roc_auc,
)
from model.metrics.selective import (
    RiskCoverage,
    area_under_risk_coverage,
    coverage_at_risk,
    risk_coverage,
    threshold_at_risk,
)
from model.metrics.spans import (
    add2023_score,
    average_precision,
    boundary_errors,
    durations,
    false_alarms,
    false_alarms_per_hour,
    mean_average_precision,
    span_f1,
    span_iou,
    span_precision,
    span_recall,
    span_recall_by_length,
)

__all__ = [
    "RESOLUTIONS_MS",
    "AsvErrors",
    "Cells",
    "Curve",
    "Interval",
    "Recording",
    "Reliability",
    "Resamples",
    "RiskCoverage",
    "accuracy",
    "actual_dcf",
    "add2023_score",
    "area_under_risk_coverage",
    "asv_errors",
    "average_precision",
    "boundary_errors",
    "cllr",
    "confusion",
    "coverage_at_risk",
    "durations",
    "equal_error_interval",
    "equal_error_rate",
    "equal_error_threshold",
    "error_curve",
    "error_rates",
    "expected_calibration_error",
    "f1",
    "false_alarms",
    "false_alarms_per_hour",
    "gather",
    "half_total_error_rate",
    "interval",
    "macro_f1",
    "mean_average_precision",
    "min_dcf",
    "min_tdcf",
    "precision",
    "recall",
    "reliability",
    "resamples",
    "risk_coverage",
    "roc_auc",
    "span_f1",
    "span_iou",
    "span_precision",
    "span_recall",
    "span_recall_by_length",
    "sums",
    "threshold_at_risk",
    "two_class_accuracy",
    "two_class_macro_f1",
]
