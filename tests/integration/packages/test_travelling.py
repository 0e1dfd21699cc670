"""A token's life is right when a test moves the clock by freezegun or time-machine."""

import pytest

from tests.integration.packages.process import printed_by


@pytest.fixture(scope="module", params=["freezegun", "time_machine"])
def seen(request):
    return printed_by("travelling_site", request.param, needs=request.param)


@pytest.mark.parametrize("service", ["fake", "own"])
def test_forward(seen, service):
    assert seen[service]["moved"] == [
        [36_000, "1", "2031-01-01T10:00:00+00:00"],
        [18_000, "1", "2031-01-01T10:00:00+00:00"],
        [36_000, "2", "2031-01-01T21:00:00+00:00"],
    ]


@pytest.mark.parametrize("service", ["fake", "own"])
def test_back(seen, service):
    assert seen[service]["started"][0] == 36_000
    assert 35_900 < seen[service]["later"] <= 36_000
