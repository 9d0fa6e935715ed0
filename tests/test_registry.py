"""Names once, misses with their nearest match, modules and plug-ins loaded when asked for."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from mergecast.errors import UsageError
from mergecast.registry import Registry
from plug_ins import imports_forgotten, write_distribution

PACKAGE = __name__.partition(".")[0]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write a distribution and put it on the path; its modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    with imports_forgotten(tmp_path):
        yield lambda *given: write_distribution(tmp_path, *given)


def registering(*names: str) -> str:
    return "from toys import TOYS\n" + "".join(f"TOYS.add({name!r}, 1)\n" for name in names)


TOYS = "from mergecast.registry import Registry\nTOYS = Registry('toy', int"


def test_a_name_can_be_registered_once():
    registry: Registry[int] = Registry("thing")
    registry.add("ties", 1)
    with pytest.raises(
        UsageError,
        match=rf"thing 'ties': registered by package '{PACKAGE}' .*and again by package 'other'"
        r" \(in other.mod\); choose another name",
    ):
        registry.add("ties", 2, module="other.mod")
    assert registry.get("ties") == 1
    assert registry.package("ties") == PACKAGE
    registry.add("dare", 2)
    assert repr(registry) == "2 things: ties, dare"


def test_an_entry_of_another_type_is_refused_with_its_package():
    registry: Registry[int] = Registry("thing", int)
    with pytest.raises(
        UsageError, match="thing 'a' of package 'other': is 'text'; register an instance of int"
    ):
        registry.add("a", "text", module="other")  # type: ignore[arg-type]


def test_a_miss_names_the_nearest_match_and_what_exists():
    registry: Registry[int] = Registry("merging gadget")
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


BUILT_IN = {
    "toys": TOYS + ", modules=('shelf.*', 'box.*.toys'))",
    "shelf.b": registering("ball", "bat"),
    "shelf.a": registering("ark"),
    "shelf.__init__": "",
    "box.__init__": "",
    "box.blue": "raise RuntimeError('no package, so it has no module of toys')",
    "box.red.__init__": "",
    "box.red.toys": registering("kite"),
    "box.red.other": "raise RuntimeError('no module of toys')",
}


@pytest.mark.parametrize("first", ["toys", "shelf.b"])
def test_modules_are_found_and_their_order_is_that_of_their_names(install, first):
    install("toys", BUILT_IN, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mergecast.registry._OWN", "shelf")
        __import__(first)
        assert ("shelf.a" in sys.modules) is False
        assert sys.modules["toys"].TOYS.names() == ["ark", "ball", "bat", "kite"]


def test_threads_that_ask_at_once_all_see_everything(install):
    install("toys", BUILT_IN | {"shelf.a": "import time; time.sleep(0.2)\n"}, {})
    toys = __import__("toys").TOYS
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(toys.names())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["ball", "bat", "kite"]] * 4


def test_a_plug_in_registers_when_a_name_is_asked_for(install):
    install(
        "maker",
        {"toys": TOYS + ")", "maker.toys": registering("top") + "TOYS.names()"},
        {"mergecast.toys:any": "maker.toys"},
    )
    toys = __import__("toys").TOYS
    assert "maker" not in sys.modules
    assert toys.names() == ["top"]
    assert toys.package("top") == "maker"
    with toys.isolated():
        toys.add("bow", 2)
        assert toys.names() == ["top", "bow"]
    assert toys.names() == ["top"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (registering("top") + "1 / 0", "does not load: ZeroDivisionError"),
        (registering("top", "top"), "toy 'top': registered by package 'bad'.*and again by"),
        ("", "registers no toy; mend the package or uninstall it"),
        ("from toys import TOYS; TOYS.add('x', 'y')", "toy 'x' of package 'bad': is 'y'"),
    ],
)
def test_a_broken_plug_in_is_an_error_each_time_and_names_its_package(install, source, problem):
    install(
        "bad-toys",
        {"toys": TOYS + ")", "bad": source},
        {"mergecast.toys:worst": "bad"},
    )
    toys = __import__("toys").TOYS
    for ask in (toys.names, lambda: toys.get("top"), lambda: list(toys), toys.names):
        with pytest.raises(UsageError, match=rf"plug-in 'worst' .* 'bad-toys': .*{problem}"):
            ask()


def test_a_taken_name_names_both_packages(install):
    install(
        "bad-toys",
        BUILT_IN | {"bad": registering("ball")},
        {"mergecast.toys:worst": "bad"},
    )
    toys = __import__("toys").TOYS
    match = "of package 'bad-toys': toy 'ball': registered by package 'shelf' .*by package 'bad'"
    for _ in range(2):
        with pytest.raises(UsageError, match=match):
            toys.get("ark")


def test_importing_the_registry_imports_little():
    code = "import sys, mergecast.registry; print({'numpy', 'torch', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
