# SPDX-License-Identifier: BSD-3-Clause
"""What has a shape and elements and is no array: every use as an array is refused."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

if TYPE_CHECKING:  # what raises at run time is no operator for a type checker

    class _Operators:
        __slots__ = ()
else:
    from numpy.lib.mixins import NDArrayOperatorsMixin as _Operators


class _OfArrays:
    """An attribute that arrays have: missing, with a remedy.

    A `__getattr__` would say the same, and every attribute of a mask would take twice as long to find.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: NoArray | None, owner: type) -> Any:
        if instance is None:
            return self
        message = f"{owner.__name__!r} object has no attribute {self._name!r}: {instance._remedy()}"
        raise AttributeError(message, name=self._name, obj=instance)


class NoArray(_Operators):
    """Refuses arithmetic, comparison, conversion and NumPy's functions.

    A mask that became an array of bool by itself would leave out the scale, and the tuple of a result and its
    mask would become an array of three axes.
    """

    __slots__ = ()
    _names: ClassVar[tuple[str, str]]  # what users call such an object, and the function that returns it

    def _remedy(self) -> str:
        name, function = self._names
        return (
            f"a {type(self).__name__} is not an array: use {name}.apply(dy) or "
            f"{function}_backward(dy, {name}), and {name}.to_numpy() where an array is wanted; if this is "
            f"the tuple that {function} returned, take it apart first: y, {name} = {function}(...)"
        )

    def _refuse(self) -> NoReturn:
        raise TypeError(self._remedy())

    def __dir__(self) -> list[str]:
        mine = type(self)
        return [name for name in super().__dir__() if type(getattr(mine, name, None)) is not _OfArrays]

    def __array_ufunc__(self, *args: Any, **options: Any) -> NoReturn:  # the operators end here too
        self._refuse()

    def __array_function__(self, *args: Any) -> NoReturn:
        self._refuse()

    # As its result is None, no type checker takes the object for an array.
    def __array__(self, dtype: object = None, copy: object = None) -> None:
        self._refuse()

    def __contains__(self, element: object) -> bool:
        self._refuse()

    def __bool__(self) -> bool:
        name, _ = self._names
        raise TypeError(f"a {type(self).__name__} is neither true nor false: write {name} is not None")

    def __eq__(self, other: object) -> bool:
        """Refuses what an array would compare with every element. The subclass compares its own kind."""
        is_array = hasattr(other, "__array__") and not isinstance(other, NoArray)
        if is_array or isinstance(other, numbers.Number | list | tuple):
            self._refuse()
        return NotImplemented

    __ne__ = object.__ne__  # not that of the operators: the opposite of __eq__
    __hash__: ClassVar[Any]  # of the subclass


for _name in dir(np.ndarray):
    if not _name.startswith("_"):
        setattr(NoArray, _name, _OfArrays(_name))
