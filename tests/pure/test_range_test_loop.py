"""`RangeTestLoop`: the range test in a loop of the user's own."""

import copy

import numpy as np
import pytest

from onecycle.results import RangeTest, RangeTestLoop, StopReason
from onecycle.schedules import curves
from onecycle.suggestions import Suggestion


def quadratic_loss(test, curvature=20.0, noise=0.01):
    """Train one weight with gradient descent until the test stops; return the losses."""
    rng, weight, losses = np.random.default_rng(0), 1.0, []
    for learning_rate in test:
        losses.append(0.5 * curvature * weight**2 + noise * rng.random())
        weight -= learning_rate * curvature * weight
        test.record(losses[-1])
    return losses


def test_diverging_loop_suggests_a_rate_below_the_divergence():
    """Gradient descent diverges above 2 / curvature: the test stops there, and suggests less."""
    test = RangeTestLoop(num_steps=200)
    losses = quadratic_loss(test)
    result = test.result()

    assert test.stop_reason is result.stop_reason is StopReason.DIVERGED
    assert losses == result.losses.tolist()
    assert len(losses) == result.training_steps < result.num_steps == len(test) == 200
    assert 0.005 < result.learning_rate < 0.1


def test_result_is_that_of_the_losses():
    """The result equals the one of `RangeTest.from_losses` with the same rates, losses and settings."""
    test = RangeTestLoop(1e-5, 1.0, 60, spacing="linear", rule="minimum")
    losses = quadratic_loss(test)
    rates = np.linspace(1e-5, 1.0, 60)[: len(losses)]

    expected = RangeTest.from_losses(
        rates, losses, test.stop_reason, rule="minimum", spacing="linear", num_steps=60, training_steps=len(losses)
    )
    assert expected == test.result()


@pytest.mark.parametrize("spacing", ["exponential", "linear"])
@pytest.mark.parametrize("num_steps", [10, 300])
def test_rates_are_those_of_the_compiled_ramp(spacing, num_steps):
    """The learning rates are those of `find_learning_rate`, with both ends exact."""
    test = RangeTestLoop(1e-6, 10.0, num_steps, spacing=spacing)
    rates = []
    for learning_rate in test:
        assert type(learning_rate) is float
        rates.append(learning_rate)
        test.record(1.0)
    ramp = curves.Curve(curves.range_ramp(1e-6, 10.0, num_steps, spacing)).values(np.arange(num_steps))

    assert (rates[0], rates[-1]) == (1e-6, 10.0)
    assert rates == pytest.approx(ramp, rel=1e-12)
    assert test.stop_reason is StopReason.COMPLETED


@pytest.mark.parametrize("loss", [np.nan, np.inf, np.float32(np.nan), np.array(-np.inf)])
def test_non_finite_loss_ends_the_loop(loss):
    """NaN and infinities end the test at once and are the last loss of the result."""
    test = RangeTestLoop()
    for step, _ in enumerate(test):
        test.record(loss if step == 3 else 1.0)

    assert test.stop_reason is StopReason.NON_FINITE
    assert len(test.result().losses) == 4
    assert list(test) == []


def test_data_that_ends_first_leaves_the_steps_that_were_made():
    """`zip` takes a rate before it notices that the data has ended; this rate is not in the result."""
    test = RangeTestLoop(num_steps=50)
    for _, loss in zip(test, [3.0, 2.0, 1.0], strict=False):
        assert test.record(loss) is None

    assert test.result().losses.tolist() == [3.0, 2.0, 1.0]
    assert test.result().stop_reason is StopReason.DATA_ENDED


def test_loop_goes_on_after_a_break():
    """A test that was left can be continued, also as a copy."""
    test = RangeTestLoop(num_steps=20)
    for learning_rate in test:
        test.record(1.0)
        if learning_rate > 1e-4:
            break
    steps, copied = len(test.result().losses), copy.deepcopy(test)
    rest = [copied.record(1.0) for _ in copied]

    assert steps + len(rest) == 20
    assert test.stop_reason is None


def test_rate_without_a_loss_is_an_error():
    """Forgetting `record` is an error in the next step, which names the step."""
    test = RangeTestLoop()
    next(test)
    test.record(1.0)
    next(test)
    with pytest.raises(RuntimeError, match=r"No loss was recorded for the learning rate 1.06e-06 \(step 1\)"):
        next(test)


@pytest.mark.parametrize("recorded", [0, 1])
def test_loss_without_a_rate_is_an_error(recorded):
    """A loss before the first rate, and a second one for the same rate, are errors."""
    test = RangeTestLoop()
    for _ in range(recorded):
        next(test)
        test.record(1.0)
    with pytest.raises(RuntimeError, match="one loss for each learning rate"):
        test.record(1.0)


@pytest.mark.parametrize("loss", [None, "low", [1.0], np.ones(2), np.ones((1,)), 1j, True])
def test_loss_that_is_no_number_is_an_error(loss):
    """The error names the argument, and the step can still be recorded."""
    test = RangeTestLoop()
    next(test)
    with pytest.raises(TypeError, match=r"Argument `loss` must be a number.*Received: loss="):
        test.record(loss)
    test.record(np.array(1.0, dtype="float16"))
    assert test.result().losses.tolist() == [1.0]


def test_result_without_a_step_is_an_error():
    """There is no result before the first loss."""
    with pytest.raises(ValueError, match="without a loss has no result"):
        RangeTestLoop().result()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 9}, "`num_steps` must be >= 10"),
        ({"min_learning_rate": 0}, "`min_learning_rate` must be > 0"),
        ({"max_learning_rate": 1e-7}, "`max_learning_rate` must be above"),
        ({"spacing": "log"}, "`spacing` must be one of"),
        ({"rule": "best"}, "one_cycle, blow_up"),
    ],
)
def test_bad_arguments_are_errors(arguments, message):
    """The checks are those of `find_learning_rate`, and other libraries' names are recognized."""
    with pytest.raises(ValueError, match=message):
        RangeTestLoop(**arguments)


def test_names_of_other_libraries_are_explained():
    """The error for `num_iter` of torch-lr-finder names `num_steps`."""
    with pytest.raises(TypeError, match="Did you mean `num_steps`"):
        RangeTestLoop(num_iter=100)


def test_rule_of_the_user_decides():
    """A function as rule decides, and is tried when the loop is made."""

    def lowest(learning_rates, losses):
        return Suggestion(float(learning_rates[0]), "The lowest.")

    test = RangeTestLoop(rule=lowest)
    quadratic_loss(test)

    assert test.result().learning_rate == 1e-6
    with pytest.raises(RuntimeError, match="raised ZeroDivisionError"):
        RangeTestLoop(rule=lambda rates, losses: 1 / 0)
