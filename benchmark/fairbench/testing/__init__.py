"""Conformance: what every method must do, as named checks that explain a failure and say what to do about it.

    fairbench check-method my-method                              # on the command line

    @pytest.mark.parametrize("check", method_checks(MyMethod))    # or in a test, one item per check
    def test_my_method(check):
        check()

The built-in methods pass the same checks in our own tests. A method that breaks one on purpose says so, and its board
with it: `expected_failures = {"never-sees-test-data": "it is our oracle"}`. This is strict: if that check passes, the
declaration is wrong, and that is a failure.
"""

from fairbench.testing.check import Check as Check
from fairbench.testing.check import Checked as Checked
from fairbench.testing.check import Outcome as Outcome
from fairbench.testing.conformance import CHECKS as CHECKS
from fairbench.testing.conformance import check_method as check_method
from fairbench.testing.conformance import method_checks as method_checks
