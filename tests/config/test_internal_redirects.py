"""Internal redirects: what is refused and where."""

from __future__ import annotations

import pytest

from tests.config.test_retry import plan
from twistproxy.errors import ConfigError


@pytest.mark.parametrize("name", ["Host", ":path", "Content-Length", "transfer-encoding", "upgrade"])
def test_headers_that_may_not_be_copied(name: str) -> None:
    policy = "internal_redirect_policy: {response_headers_to_copy: [x-ok, '%s']}"
    plan(policy % "x-other")
    with pytest.raises(ConfigError) as caught:
        plan(policy % name)
    (problem,) = caught.value.problems
    assert problem.path.endswith("internal_redirect_policy.response_headers_to_copy[1]")
