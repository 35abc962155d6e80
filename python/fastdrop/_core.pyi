from collections.abc import Sequence
from typing import Any, Final, TypeAlias, TypeVar, type_check_only

import numpy as np
from numpy.typing import NDArray

__version__: Final[str]
compiler: Final[str]
has_openmp: Final[bool]
generators: Final[tuple[str, ...]]
rules: Final[tuple[str, ...]]

# A float, or what varies: values as bytes of float64, number of the window's first one, strides.
_Number: TypeAlias = float | tuple[bytes, int, tuple[int, ...]]

# p, scale, then the window: index of its first element, shape, and strides in elements of the whole mask
# (None: the window is C-contiguous).
_Window: TypeAlias = tuple[_Number, _Number, int, tuple[int, ...], tuple[int, ...] | None]

# A mask: number of its rule, key (two halves), stream, its window's five, and of a stored mask its bits,
# padded to whole tiles.
_Numbers: TypeAlias = tuple[
    int, int, int, int, _Number, _Number, int, tuple[int, ...], tuple[int, ...] | None, bytes | None
]

_Mask = TypeVar("_Mask")

@type_check_only
class _Streams: ...

# Where a MaskGenerator's masks come from: generator number, key (two halves), streams (a capsule).
_Source: TypeAlias = tuple[int, int, int, _Streams]

def scale_kept(x: object, out: object, numbers: _Numbers, /) -> NDArray[Any] | None: ...
def dropout(
    x: object, out: object, source: _Source, p: object, mask_class: type[_Mask], /
) -> tuple[NDArray[Any], _Mask] | None: ...
def new_streams(handed_out: int, /) -> _Streams: ...
def take_stream(streams: _Streams, /) -> int: ...
def streams_handed_out(streams: _Streams, /) -> int: ...
def keep_mask(numbers: _Numbers, /) -> NDArray[np.bool_]: ...
def generate(
    generator: str, first: int, upper: int, key: Sequence[int], block_count: int, /
) -> NDArray[np.uint32]: ...
def isas() -> list[tuple[str, str, bool]]: ...
def isa() -> str: ...
def use_isa(name: str, /) -> str: ...
def thread_count() -> int: ...
def set_thread_limit(limit: int, /) -> int: ...
