import pytest

from mergecast.errors import UsageError
from mergecast.registry import Registry


def test_a_name_can_be_registered_once():
    registry: Registry[int] = Registry("thing")
    registry.add("ties", 1)
    with pytest.raises(UsageError, match="thing 'ties': already registered as 1; choose another"):
        registry.add("ties", 2)


def test_a_miss_names_the_nearest_match_and_what_exists():
    registry: Registry[int] = Registry("merging method")
    registry.add("weight_avg", 1)
    registry.add("ties", 2)
    with pytest.raises(UsageError, match=r"did you mean 'ties'\? known: weight_avg, ties"):
        registry.get("tie")


def test_iteration_follows_registration_order():
    registry: Registry[int] = Registry("thing")
    registry.add("b", 1)
    registry.add("a", 2)
    assert registry.names() == ["b", "a"]
    assert list(registry) == [1, 2]
    assert "a" in registry
    assert len(registry) == 2
