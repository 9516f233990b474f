"""The defaults are those of the specification: a change of one would quietly be another method."""

from typing import Any

import pytest

from fairbench.method import registry

DEFAULTS: dict[str, dict[str, Any]] = {
    "absld": {"temperature_mode": "separate", "rate": 0.1, "low": 0.5, "high": 5.0, "rate_scaling": "none"},
    "adaad": {"variant": "adaad", "attacked_share": 1.0, "scale": 0.1, "radius_factor": 1.0},
    "ard": {"temperature": 30.0, "soft_share": 1.0, "attack_bn": "eval", "clean_forward": False, "lr_bug": False},
    "at-awp": {"gamma": 0.01, "start_frac": 0.0},
    "bat": {
        "beta": 6.0,
        "uniform_weight": 1.0,
        "shared_trajectory": True,
        "adv_tau": 0,
        "uniform_kl": "u-p",
        "misclassified_start": "clean",
    },
    "cfa-at": {"lambda1": 0.5, "calibration_frac": 0.05, "gate": 0.2, "decay": 0.85, "averaging_start": 0.25},
    "cfa-trades": {"beta": 6.0, "lambda1": 0.3, "lambda2": 0.5, "gate": 0.2, "decay": 0.85, "rescale": False},
    "cfol": {"play": "sampling", "exploration": 0.5, "eta_total": 50.0},
    "confusional-spectral": {
        "beta": 6.0,
        "clean_weight": 0.7,
        "spectral_weight": 0.3,
        "logit_factor": 0.9,
        "matrix": "pass",
        "hot_start": "trades",
        "epochs_frac": 0.02,
    },
    "dafa": {"strength": 1.0, "warm_up_frac": 70 / 110, "beta": 6.0, "old_rule": False},
    "dafa-at": {"strength": 1.0, "warm_up_frac": 70 / 110, "old_rule": False, "as_released": False},
    "faal": {"kl_radius": 0.5, "base": "pgd-at", "score": "sum", "hot_start": "pgd-at", "finetune_frac": 0.018},
    "fair-ard": {"power": 2.0, "low": 5 / 6, "high": 5 / 2, "renorm_after_clip": False, "temperature": 30.0},
    "fair-rslad": {"power": 2.0, "low": 5 / 6, "high": 5 / 2, "renorm_after_clip": False},
    "fairat": {"hard_frac": 0.5, "hardness": "clean", "mode": "replace", "view": "randaugment", "warm_up_frac": 0.0},
    "fat": {"base": "pgd-at", "tau": -1, "jitter": 0.001},
    "frl": {"variant": "both", "tau1": 0.07, "tau2": 0.07, "rate": 0.05, "margin_rate": 0.2, "limit": 0.5, "beta": 1.5},
    "gairat": {"shift": -1.0, "weight_function": "tanh", "burn_in_frac": 0.5},
    "ham": {"selection_steps": 3, "start_frac": 0.41, "weighting": "uniform", "keep_easy_ratio": 0.0},
    "mart": {"weight": 5.0, "authors_recipe": False},
    "pgd-at": {"attack_bn": "eval"},
    "rslad": {},
    "standard": {},
    "trades": {"beta": 6.0},
    "trades-awp": {"beta": 6.0, "gamma": 0.005, "start_frac": 0.045},
    "wat": {"beta": 6.0, "rate": 0.1, "avg_scale": "code", "rate_scaling": "none"},
}


@pytest.mark.parametrize("name", registry.names())
def test_defaults(name: str) -> None:
    found = registry.create(name, {}).parameters()
    for parameter, value in DEFAULTS[name].items():
        assert found[parameter] == (pytest.approx(value, rel=1e-3) if isinstance(value, float) else value), parameter
