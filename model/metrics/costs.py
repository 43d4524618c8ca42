"""What a detector's errors cost: the figures of the ASVspoof challenges, for scores that are higher for fake.

The challenges score in favour of the genuine and say "miss" for a genuine trial that is rejected, "false alarm" for a
fake one that is accepted. Here scores and log-likelihood ratios are in favour of the fake, ln p(x | fake) / p(x |
genuine), which turns their sign and the sign of the threshold and leaves every figure as it is. The costs are named by
what happens, so that neither reading is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from model.metrics.ranking import checked, equal_error_threshold, error_curve, error_rates


@dataclass(frozen=True)
class DetectionCosts:
    """What the errors of a detector on its own cost, and how often fakes come.

    The defaults are those of ASVspoof 5, track 1: a prior of spoofing of 0.05, C_miss 1, C_fa 10 (evaluation plan, and
    Wang et al., "ASVspoof 5: crowdsourced speech data, deepfakes, and adversarial attacks at scale", 2024).

    Raises
    ------
    UsageError
        Unless 0 < `p_fake` < 1 and both costs are above 0.
    """

    p_fake: float = 0.05
    """Probability that a trial is fake."""
    genuine_rejected: float = 1.0
    """Cost of calling a genuine trial fake."""
    fake_accepted: float = 10.0
    """Cost of calling a fake trial genuine."""

    def __post_init__(self) -> None:
        if not 0 < self.p_fake < 1 or not min(self.genuine_rejected, self.fake_accepted) > 0:
            raise UsageError(f"detection costs: expected 0 < p_fake < 1 and costs above 0, received {self}")

    @property
    def threshold(self) -> float:
        """The Bayes threshold of a log-likelihood ratio for fake: ln((1 - p) C_rejected / (p C_accepted)); ln 1.9."""
        return float(np.log(self.of_rejecting / self.of_accepting))

    @property
    def of_rejecting(self) -> float:
        """Expected cost of calling everything fake."""
        return self.genuine_rejected * (1 - self.p_fake)

    @property
    def of_accepting(self) -> float:
        """Expected cost of calling everything genuine."""
        return self.fake_accepted * self.p_fake


@dataclass(frozen=True)
class TandemCosts:
    """What the errors of a detector in front of a speaker verification system (ASV) cost.

    The defaults are those of the evaluation plan of ASVspoof 2019, logical access.

    Raises
    ------
    UsageError
        Unless the three probabilities are above 0 and add up to 1, and all costs are above 0.
    """

    p_target: float = 0.95 * 0.99
    """Probability of the claimed speaker."""
    p_nontarget: float = 0.95 * 0.01
    """Probability of another, genuine speaker."""
    p_fake: float = 0.05
    """Probability of a fake of the claimed speaker."""
    asv_target_rejected: float = 1.0
    """Cost of the ASV rejecting the claimed speaker."""
    asv_nontarget_accepted: float = 10.0
    """Cost of the ASV accepting another speaker."""
    genuine_rejected: float = 1.0
    """Cost of the detector calling a genuine trial fake."""
    fake_accepted: float = 10.0
    """Cost of the detector calling a fake genuine, when the ASV accepts it too."""

    def __post_init__(self) -> None:
        priors = (self.p_target, self.p_nontarget, self.p_fake)
        costs = (self.asv_target_rejected, self.asv_nontarget_accepted, self.genuine_rejected, self.fake_accepted)
        if not min(*priors, *costs) > 0 or abs(sum(priors) - 1) > 1e-9:
            raise UsageError(f"tandem costs: expected priors that add up to 1 and costs above 0, received {self}")


@dataclass(frozen=True)
class AsvErrors:
    """How often a speaker verification system errs at its own threshold, each in [0, 1].

    Raises
    ------
    UsageError
        When a share is outside [0, 1].
    """

    p_fa: float
    """Share of other speakers accepted."""
    p_miss: float
    """Share of claimed speakers rejected."""
    p_miss_spoof: float
    """Share of fakes of the claimed speaker rejected."""

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.p_fa, self.p_miss, self.p_miss_spoof)):
            raise UsageError(f"errors of the speaker verification: expected shares of 0 to 1, received {self}")


CHALLENGE_5 = DetectionCosts()
"""Costs of ASVspoof 5."""

CHALLENGE_2019 = TandemCosts()
"""Costs of ASVspoof 2019."""


def min_dcf(is_fake: npt.ArrayLike, scores: npt.ArrayLike, *, costs: DetectionCosts = CHALLENGE_5) -> float | None:
    """Return the least detection cost over all thresholds, as a share of the better constant decision's.

    0 for a perfect ranking, 1 for a useless one (constant, or its inverse); None when one of the two classes is
    missing. The primary figure of ASVspoof 5, track 1. The challenge's own code also visits thresholds inside a
    group of tied scores; none of those is cheaper than both ends of the group, so the least is the same.

    Parameters
    ----------
    is_fake
        bool array (n,).
    scores
        float array (n,), finite, higher for fake.
    costs
        Costs and prior.

    Raises
    ------
    UsageError
        When the shapes differ or a score is not finite.
    """
    curve = error_curve(is_fake, scores)
    if curve is None:
        return None
    cost = costs.of_rejecting * curve.fpr + costs.of_accepting * curve.fnr
    return float(cost.min()) / min(costs.of_rejecting, costs.of_accepting)


def actual_dcf(
    is_fake: npt.ArrayLike, log_likelihood_ratios: npt.ArrayLike, *, costs: DetectionCosts = CHALLENGE_5
) -> float | None:
    """Return the detection cost at the Bayes threshold, as a share of the better constant decision's.

    It takes the scores at their word: natural log-likelihood ratios in favour of fake. A trial is called fake above
    `costs.threshold`, and not at it, where both decisions cost the same and the challenge accepts. Constant ratios
    give 1 or more; None when one of the two classes is missing. The actDCF of ASVspoof 5.

    Parameters and errors as in `min_dcf`.
    """
    just_above = float(np.nextafter(costs.threshold, np.inf))
    fpr, fnr = error_rates(is_fake, log_likelihood_ratios, threshold=just_above)
    if fpr is None or fnr is None:
        return None
    return (costs.of_rejecting * fpr + costs.of_accepting * fnr) / min(costs.of_rejecting, costs.of_accepting)


def cllr(is_fake: npt.ArrayLike, log_likelihood_ratios: npt.ArrayLike) -> float | None:
    """Return the cost of log-likelihood ratios in bits: 0 for sure and right, 1 for ratios that say nothing.

    The mean of log2(1 + e^-llr) over the fake and of log2(1 + e^llr) over the genuine, each class weighing half
    (Brummer & du Preez, "Application-independent evaluation of speaker detection", 2006). It has no upper end: ratios
    that are sure and wrong cost as much as they claim. None when one of the two classes is missing.

    Parameters
    ----------
    is_fake
        bool array (n,).
    log_likelihood_ratios
        float array (n,), finite, natural logarithms in favour of fake.

    Raises
    ------
    UsageError
        When the shapes differ or a ratio is not finite.
    """
    trials = checked(is_fake, log_likelihood_ratios)
    for_fake, for_genuine = trials.scores[trials.is_fake], -trials.scores[~trials.is_fake]
    if not for_fake.size or not for_genuine.size:
        return None
    bits = [float(np.logaddexp(0.0, -right).mean()) / np.log(2.0) for right in (for_fake, for_genuine)]
    return float(sum(bits) / 2)


def asv_errors(target: npt.ArrayLike, nontarget: npt.ArrayLike, *, spoof: npt.ArrayLike) -> AsvErrors:
    """Return how often a speaker verification system errs at its equal-error threshold.

    That threshold separates claimed from other speakers and looks at no fake, as ASVspoof 2019 fixed it. The equal
    error rate of the system is the mean of `p_fa` and `p_miss`.

    Parameters
    ----------
    target, nontarget, spoof
        float arrays (n,), finite: scores of the claimed speakers, of others, and of fakes; higher for the claimed
        speaker.

    Raises
    ------
    UsageError
        When one of the three is empty or not finite.
    """
    groups = [np.asarray(scores, dtype=np.float64).ravel() for scores in (target, nontarget, spoof)]
    if not all(scores.size for scores in groups):
        sizes = ", ".join(str(scores.size) for scores in groups)
        raise UsageError(f"speaker verification: expected target, nontarget and spoof scores, received {sizes} of them")
    accepted_right, accepted_wrong, fakes = groups
    is_target = np.repeat([True, False], [accepted_right.size, accepted_wrong.size])
    threshold = equal_error_threshold(is_target, np.concatenate((accepted_right, accepted_wrong)))
    if threshold is None or not np.isfinite(fakes).all():
        raise UsageError("speaker verification: expected finite scores of fakes, received some that are not")
    return AsvErrors(
        p_fa=float(np.mean(accepted_wrong >= threshold)),
        p_miss=float(np.mean(accepted_right < threshold)),
        p_miss_spoof=float(np.mean(fakes < threshold)),
    )


def min_tdcf(
    is_fake: npt.ArrayLike, scores: npt.ArrayLike, *, asv: AsvErrors, costs: TandemCosts = CHALLENGE_2019
) -> float | None:
    """Return the least cost of detector and speaker verification in tandem, normalised as in ASVspoof 2019.

    min(C1 * FPR + C2 * FNR) / min(C1, C2) over all thresholds, with C1 = p_target (C_rejected - C_asv_rejected
    p_miss) - p_nontarget C_asv_accepted p_fa and C2 = C_accepted p_fake (1 - p_miss_spoof): Kinnunen et al., "t-DCF: a
    detection cost function for the tandem assessment of spoofing countermeasures and automatic speaker verification"
    (Odyssey 2018), as in the evaluation plan of 2019; the plan of 2021 normalises otherwise. 0 for a perfect ranking,
    1 for a useless one; None when one of the two classes is missing.

    Parameters
    ----------
    is_fake
        bool array (n,).
    scores
        float array (n,), finite, higher for fake.
    asv
        What the speaker verification does; see `asv_errors`.
    costs
        Costs and priors.

    Raises
    ------
    UsageError
        When the shapes differ, a score is not finite, or the verification errs so much that C1 or C2 is not above 0:
        then rejecting everybody, or accepting every fake, would cost nothing.
    """
    rejecting = costs.p_target * (costs.genuine_rejected - costs.asv_target_rejected * asv.p_miss)
    rejecting -= costs.p_nontarget * costs.asv_nontarget_accepted * asv.p_fa
    accepting = costs.fake_accepted * costs.p_fake * (1 - asv.p_miss_spoof)
    if not min(rejecting, accepting) > 0:
        raise UsageError(f"min t-DCF: expected a speaker verification that works, received {asv}")
    curve = error_curve(is_fake, scores)
    if curve is None:
        return None
    return float((rejecting * curve.fpr + accepting * curve.fnr).min()) / min(rejecting, accepting)
