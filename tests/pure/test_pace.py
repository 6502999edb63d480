"""The length of the calls of compiled programs."""

from onecycle.engine.pace import GROWTH, MAX_CALL_SECONDS, Pace


def test_calls_take_at_most_the_time_in_which_ctrl_c_is_to_be_heard():
    """Calls grow until they take `MAX_CALL_SECONDS`, shrink when they take longer, and make at least one step."""
    pace, seen = Pace(), []
    for seconds_per_step in (0.001, 0.001, 0.001, 0.001, 0.01, 1.0, 1.0):
        seen.append(pace.steps)
        pace.record(pace.steps, pace.steps * seconds_per_step)
    assert seen == [1, GROWTH, GROWTH**2, round(MAX_CALL_SECONDS / 0.001), 300, 30, 1]
