"""Putting the fake in its place for as long as a test lasts, and taking it away."""

import inspect
import sys
import threading
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar
from unittest import TestCase

from asgiref.sync import iscoroutinefunction
from django.test.utils import TestContextDecorator, _TestState

from django_certn.testing.certn import FakeCertn
from django_certn.testing.endpoint import Endpoint
from django_certn.testing.service import FakeService
from django_certn.tokens.service import install, installed

__all__ = ["fake_certn"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# Of the process and not of a context: the threads of a live server use the fake too.
lock = threading.RLock()
entered: list[FakeService] = []


class fake_certn(TestContextDecorator):  # noqa: N801 - as Django names what is used like this
    """Put a fake in Certn's place: no network, no stored key and no cache is needed.

    As a context manager it returns a `FakeCertn`::

        with fake_certn() as certn:
            certn.reject()

    A test that it decorates, sync or async, has a fake of its own. So has each test of a test case
    that it decorates, as ``self.certn``, and `setUpTestData` has another, as ``cls.certn``. With
    pytest it is the fixture ``certn``.

    Args:
        attr_name: under which name a test case has it.
        kwarg_name: under which name a function gets it; without, it gets none.

    Raises:
        RuntimeError: on entering: this is no test run. On leaving: it was not entered, or has been
            left.
        AssertionError: on leaving, unless another exception is raised: a failure that was prepared
            for a number of requests was not met so often.
        TypeError: it cannot decorate this.
    """

    attr_name: str

    def __init__(self, *, attr_name: str = "certn", kwarg_name: str | None = None) -> None:
        super().__init__(attr_name, kwarg_name)
        self.services: list[FakeService] = []

    def enable(self) -> FakeCertn:
        """Put a new fake in its place, and return it."""
        if not is_test_run():
            raise RuntimeError(
                "fake_certn() stands for Certn in tests, and this is no test run: neither is "
                "Django's test environment set up, as manage.py test and pytest-django do, nor is "
                "pytest running a test with the plugin of django-certn."
            )
        service = FakeService(Endpoint())
        put(service)
        self.services.append(service)
        return FakeCertn(service)

    def disable(self) -> None:
        """Take the last fake that this put in place away, and no other."""
        self.leave(is_checked=True)

    def leave(self, *, is_checked: bool) -> None:
        """Take it away; say that it was not met as it was prepared, if that is wanted."""
        if not self.services:
            raise RuntimeError("This fake of Certn was not entered, or has been left already.")
        service = self.services.pop()
        take(service)
        unmet = service.endpoint.failures.unmet() if is_checked else []
        if unmet:
            raise AssertionError(
                f"Failures were prepared for requests that were not made: {', '.join(unmet)}."
            )

    def __enter__(self) -> FakeCertn:  # type: ignore[override]
        return self.enable()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.leave(is_checked=exc_type is None)

    def again(self) -> "fake_certn":
        """Return one for each call: those of several threads do not mix."""
        return type(self)(attr_name=self.attr_name, kwarg_name=self.kwarg_name)

    def decorate_callable(self, func: Decorated) -> Decorated:
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError(
                f"{func.__qualname__} is a generator function, so the fake would be gone before "
                "its body runs: use the fixture `certn` of pytest, or "
                "`with fake_certn() as certn:` in the body."
            )
        inner: Any
        if iscoroutinefunction(func):

            @wraps(func)
            async def inner(*args: Any, **kwargs: Any) -> Any:
                with self.again() as certn:
                    return await func(*args, **kwargs, **self.keyword(certn))
        else:

            @wraps(func)
            def inner(*args: Any, **kwargs: Any) -> Any:
                with self.again() as certn:
                    return func(*args, **kwargs, **self.keyword(certn))

        if self.kwarg_name:  # pytest would take it for a fixture
            signature = inspect.signature(func)
            others = [
                each for each in signature.parameters.values() if each.name != self.kwarg_name
            ]
            inner.__signature__ = signature.replace(parameters=others)
        return inner  # type: ignore[no-any-return]

    def keyword(self, certn: FakeCertn) -> dict[str, FakeCertn]:
        return {self.kwarg_name: certn} if self.kwarg_name else {}

    def decorate_class(self, cls: Any) -> Any:
        if not issubclass(cls, TestCase):
            raise TypeError(
                f"{cls.__qualname__} is no unittest.TestCase: use the fixture `certn` of pytest, "
                'for all tests of a class by @pytest.mark.usefixtures("certn").'
            )
        set_up_class, set_up = cls.setUpClass.__func__, cls.setUp

        def setUpClass(inner: Any) -> None:
            context = self.again()
            setattr(inner, self.attr_name, context.enable())
            inner.addClassCleanup(context.disable)
            set_up_class(inner)

        @wraps(set_up)
        def setUp(inner: Any) -> None:
            context, before = self.again(), troubles(inner)
            setattr(inner, self.attr_name, context.enable())
            inner.addCleanup(lambda: context.leave(is_checked=troubles(inner) == before))
            set_up(inner)

        cls.setUpClass, cls.setUp = classmethod(wraps(set_up_class)(setUpClass)), setUp
        return cls


def is_test_run() -> bool:
    """Return whether tests run in this process: an environment variable would be inherited."""
    plugin = sys.modules.get("django_certn.pytest_plugin")
    return hasattr(_TestState, "saved_data") or bool(getattr(plugin, "running", 0))


def troubles(test: TestCase) -> int:
    """Return how many failures, errors and skips were reported until now, of this test or another.

    Django's parallel runner and pytest have lists of their own.
    """
    outcome = getattr(test, "_outcome", None)
    result = getattr(outcome, "result", None)
    # A failure that is expected is reported after the cleanups.
    is_expected = getattr(outcome, "expectedFailure", None) is not None
    names = ("failures", "errors", "skipped", "events", "_excinfo")
    lists = (getattr(result, name, None) for name in names)
    return is_expected + sum(len(each) for each in lists if isinstance(each, list))


def put(service: FakeService) -> None:
    with lock:
        service.beneath = install(service)
        entered.append(service)


def take(service: FakeService) -> None:
    """Take this one away, wherever in the stack it is."""
    with lock:
        place = entered.index(service)
        del entered[place]
        if place < len(entered):
            entered[place].beneath = service.beneath
        elif installed() is service:
            install(service.beneath)
        else:
            raise RuntimeError("Another token service was put in the place of this fake of Certn.")
