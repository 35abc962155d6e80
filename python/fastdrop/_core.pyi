from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__version__: Final[str]
compiler: Final[str]
has_openmp: Final[bool]
generators: Final[tuple[str, ...]]

def scale_kept(
    x: object,
    out: object,
    generator: int,
    key_low: int,
    key_high: int,
    stream: int,
    p: float,
    start: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    /,
) -> NDArray[Any] | None: ...
def keep_mask(
    generator: int,
    key_low: int,
    key_high: int,
    stream: int,
    p: float,
    start: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    /,
) -> NDArray[np.bool_]: ...
def generate(
    generator: str, first: int, upper: int, key: Sequence[int], block_count: int, /
) -> NDArray[np.uint32]: ...
def isas() -> list[tuple[str, str, bool]]: ...
def isa() -> str: ...
def use_isa(name: str, /) -> str: ...
def thread_count() -> int: ...
def set_thread_limit(limit: int, /) -> None: ...
