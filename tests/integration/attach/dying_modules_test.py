"""Modules come and go in a long job, and addresses are used again."""

from attach_support import JOBS, scopes_by_step


def test_a_module_at_a_dead_ones_address_has_a_name_of_its_own(place):
    done = place.attached(JOBS / "dying_modules.py", policy="observe",
                          ledger=True)

    depth = done.answer["depth"]
    steps = scopes_by_step(done.entries())
    expected = {str(i) for i in range(depth)}
    # A Linear and a Tanh each save something, alone with the model's paths.
    assert steps[max(steps)] == expected
    assert done.own_stderr == []
