"""Full messages for the assertions of the shared checks."""

import pytest

pytest.register_assert_rewrite("tests.discover.checking", "tests.discover.cases")
