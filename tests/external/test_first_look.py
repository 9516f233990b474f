"""A model is called once, and whatever it does wrong is a sentence; whatever it writes stays with it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fairbench import UserError, evaluate
from fairbench.external.first_look import WRITES, OnCopies, look
from fairbench.external.given import given


class Through(nn.Module):
    """A linear model around which something happens."""

    def __init__(self, network: nn.Module, before: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.network, self.before = network, before

    def forward(self, images: Tensor) -> Tensor:
        self.before(images)
        logits: Tensor = self.network(images)
        return logits


def write_behind_autograd(images: Tensor) -> None:
    images.data.sub_(0.1)


WRITERS: list[Callable[[Tensor], object]] = [
    lambda images: images.sub_(0.1),  # torchvision's old Normalize
    lambda images: images.relu_(),  # nothing changes, but no leaf may be written into
    lambda images: images.flatten(1).mul_(0.9),
    write_behind_autograd,
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("names", [(), ("bird", "cat", "deer")])
def test_a_model_that_writes_into_its_input_is_given_copies(
    write: Callable[[Tensor], object], names: tuple[str, ...], linear: nn.Module, images: Tensor, labels: Tensor
) -> None:
    """It is judged as the same model that does not; the caller's images are as they were."""
    before = images.clone()
    found = evaluate(Through(linear, write), images, labels, epsilon=0.05, tier="screen", class_names=names)
    assert torch.equal(images, before)
    assert found.provenance.warnings[0] == WRITES
    clean = Through(linear, lambda _: None)

    class Tidy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            copies = images.clone()
            write(copies)
            logits: Tensor = clean(copies)
            return logits

    tidy = evaluate(Tidy(), images, labels, epsilon=0.05, tier="screen")
    assert tidy.rows.equals(found.rows)
    assert WRITES not in tidy.provenance.warnings


def test_a_model_that_does_not_is_left_alone(linear: nn.Module, images: Tensor) -> None:
    looked = look(linear, images[:2], called="It")
    assert looked.model is linear
    assert (looked.classes, looked.remarks) == (3, ())


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_weights_of_another_precision_are_named(
    kind: torch.dtype, linear: nn.Module, images: Tensor, labels: Tensor
) -> None:
    said = str(kind).removeprefix("torch.")
    with pytest.raises(UserError, match=rf"has weights of type {said} \('1\.weight'\).*give it as model\.float\(\)"):
        evaluate(linear.to(kind), images, labels, epsilon=0.1, tier="screen")


def test_a_model_that_takes_care_of_its_precision_is_evaluated(
    linear: nn.Module, images: Tensor, labels: Tensor
) -> None:
    class Double(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = linear.double()

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.network(images.double())
            return logits

    assert len(evaluate(Double(), images, labels, epsilon=0.1, tier="screen").rows) == 30


class Returning(nn.Module):
    """Whatever it is told to."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: Tensor) -> object:
        return self.answer(images.flatten(1)[:, :3])


@pytest.mark.parametrize(
    ("answer", "classes", "said"),
    [
        (lambda z: z[:, :1], 2, r"It returns one logit .* return two columns: torch\.stack\(\[0 \* logit, logit\]"),
        (lambda z: z[:, 0], 2, "It returns one logit for each image"),
        (lambda z: z[:, 0], None, "It returns one logit for each image"),
        (lambda z: z[:, 0], 10, r"output of shape \(2,\); logits have the shape \(2, 10\)"),
        (lambda z: z[:, :, None, None], 3, r"shape \(2, 3, 1, 1\).* Flatten it: logits\.flatten\(1\)"),
        (lambda z: z, 5, "distinguishes 3 classes, the dataset has 5"),
        (lambda z: z.argmax(dim=1), 3, r"returns a tensor of torch\.int64; a model returns logits alone"),
        (lambda z: {"logits": z}, 3, "returns a dict; a model returns logits alone"),
        (lambda z: z.sum(dim=0, keepdim=True), 3, r"turns 2 images into an output of shape \(1, 3\)"),
        (lambda z: z.view(2, 7), 3, r"images of 4x4x1 .*Channels seem to come last: images\.permute\(0, 3, 1, 2\)"),
        (lambda z: z / [1], 3, r"It cannot take images of 1x4x4 .*TypeError"),
    ],
)
def test_what_is_no_logits_is_named(
    answer: Callable[[Tensor], object], classes: int | None, said: str, images: Tensor
) -> None:
    given = images[:2].permute(0, 2, 3, 1) if "permute" in said else images[:2]
    with pytest.raises(UserError, match=said):
        look(Returning(answer), given, called="It", classes=classes)


def test_memory_that_runs_out_is_for_who_knows_the_batch(images: Tensor) -> None:
    def runs_out(logits: Tensor) -> Tensor:
        del logits
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:128] . DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        look(Returning(runs_out), images[:2], called="It")


class TestGiven:
    def test_pixels_that_rounding_put_outside_are_clamped(
        self, linear: nn.Module, images: Tensor, labels: Tensor
    ) -> None:
        """The caller's stay as they are."""
        images[0, 0, 0, 0], images[1, 0, 0, 0] = -2.98e-8, 1 + 1e-6
        before = images.clone()
        found = given(images, labels, model=linear)
        assert torch.equal(found.sample.images, before.clamp(0, 1))
        assert found.remarks == ("Pixels outside of [0, 1] by 9.5e-07 at most were taken for rounding, and clamped.",)
        assert torch.equal(images, before)

    @pytest.mark.parametrize(
        ("pixel", "said"),
        [
            (-0.01, r"pixels from -0\.01 to .* clamp them: images\.clamp\(0, 1\)\. Mean and standard"),
            (1.1, r"clamp them: images\.clamp"),
            (200.0, r"Divide by 255 what lies in \[0, 255\]"),
            (-3.0, "allowed: \\[0, 1\\]. Mean and standard deviation belong into the model"),
        ],
    )
    def test_other_pixels_are_refused_with_the_likely_cure(
        self, pixel: float, said: str, linear: nn.Module, images: Tensor, labels: Tensor
    ) -> None:
        images[0, 0, 0, 0] = pixel
        with pytest.raises(UserError, match=said):
            given(images, labels, model=linear)

    def test_a_column_of_labels_is_a_row_of_them(self, linear: nn.Module, images: Tensor, labels: Tensor) -> None:
        found = given(images, labels[:, None].to(torch.uint8), model=linear)
        assert torch.equal(found.sample.labels, labels)

    def test_images_made_in_inference_mode_are_attacked(
        self, linear: nn.Module, images: Tensor, labels: Tensor
    ) -> None:
        with torch.inference_mode():
            made = images * 1
        assert len(evaluate(linear, made, labels, epsilon=0.1, tier="screen").rows) == 30

    def test_a_copying_model_returns_what_the_model_does(self, linear: nn.Module, images: Tensor) -> None:
        assert torch.equal(OnCopies(linear)(images), linear(images))
