"""A normalisation that the user gives: read strictly, spread over channels, compared as papers round."""

import pytest

from fairbench.errors import UserError
from fairbench.external.normalisation import Normalisation
from fairbench.models import build_model
from fairbench.models.normalised import Normalised


def test_numbers_with_commas() -> None:
    found = Normalisation.parse("0.4914, 0.4822,0.4465", "0.2471,0.2435,0.2616")
    assert found == Normalisation(mean=(0.4914, 0.4822, 0.4465), std=(0.2471, 0.2435, 0.2616))
    assert str(found) == "--mean 0.4914,0.4822,0.4465 --std 0.2471,0.2435,0.2616"
    assert Normalisation.parse("0", "1") == Normalisation(mean=(0,), std=(1,))


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        ("0.5;0.5", "1", "no normalisation; both are numbers with commas"),
        ("", "1", "no normalisation"),
        ("0.5,,0.5", "1", "no normalisation"),
        ("123.7,116.8,103.9", "58.4,57.1,57.4", "Divide by 255"),
        ("-0.1", "1", "in units of"),
        ("0.5", "0", "no standard deviation may be 0"),
        ("nan", "1", "not allowed"),
        ("0.5", "nan", "not allowed"),
        ("0.5", "inf", "not allowed"),
    ],
)
def test_anything_else_is_refused_with_an_example(mean: str, std: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Normalisation.parse(mean, std)


def test_one_value_serves_all_channels_and_two_do_not_serve_three() -> None:
    assert Normalisation(mean=(0.1, 0.2, 0.3), std=(0.5,)).for_channels(3).std == (0.5, 0.5, 0.5)
    for channels, mean in ((3, (0.1, 0.2)), (1, (0.1, 0.2, 0.3))):
        with pytest.raises(UserError, match=f"--mean 0.1,0.2.* does not fit images with {channels} channel"):
            Normalisation(mean=mean, std=(0.5,)).for_channels(channels)


def test_two_agree_up_to_rounding() -> None:
    model = build_model("digits-cnn", classes=10, channels=1, size=(8, 8), mean=(0.30532,), std=(0.37610,))
    assert isinstance(model, Normalised)
    held = Normalisation.of(model)
    assert held.mean == pytest.approx((0.30532,))
    assert Normalisation(mean=(0.3053,), std=(0.3761,)).agrees_with(held)
    assert not Normalisation(mean=(0.3053,), std=(0.38,)).agrees_with(held)
    assert not Normalisation(mean=(0.0,), std=(0.3761,)).agrees_with(held)
