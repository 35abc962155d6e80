from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from ._values import Value

__version__: Final[str]
compiler: Final[str]
has_openmp: Final[bool]
generators: Final[tuple[str, ...]]
rules: Final[tuple[str, ...]]
xla_versions: Final[tuple[int, int, int]]  # of XLA's FFI: major, oldest and newest minor

class OperandInfo(NamedTuple):
    name: str
    access: str  # "full", "per column" or "per row"
    type: str  # "element" or "compute"
    optional: bool  # an input may be None, an output may be False: not wanted

class OperationInfo(NamedTuple):
    inputs: tuple[OperandInfo, ...]
    outputs: tuple[OperandInfo, ...]
    constants: tuple[str, ...]
    whole_rows: bool
    draw: str  # "from bytes", "inline" or "normals"

operations: Final[dict[str, OperationInfo]]
elements: Final[tuple[str, ...]]
functions: Final[tuple[str, ...]]

@final
class MaskState:
    def __new__(
        cls,
        generator: int,
        key: tuple[int, int],
        stream: int,
        p: Value,
        start: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None,
        bits: bytes | None,
    ) -> MaskState: ...
    @property
    def generator(self) -> int: ...
    @property
    def key(self) -> tuple[int, int]: ...
    @property
    def stream(self) -> int: ...
    @property
    def p(self) -> Value: ...
    @property
    def start(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...] | None: ...
    @property
    def bits(self) -> bytes | None: ...

@final
class MaskSource:
    def __new__(cls, generator: int, key: tuple[int, int], handed_out: int) -> MaskSource: ...
    @property
    def generator(self) -> int: ...
    @property
    def key(self) -> tuple[int, int]: ...
    @property
    def handed_out(self) -> int: ...
    def draw(self, p: Value, shape: tuple[int, ...], strides: tuple[int, ...] | None, /) -> MaskState: ...

_Mask = TypeVar("_Mask")

def run(operation: str, mask: MaskState, /, *arguments: object) -> Any: ...
def key_state(
    generator: int, address: int, p: float, shape: tuple[int, ...], strides: tuple[int, ...] | None, /
) -> MaskState: ...
def run_memory(operation: str, mask: MaskState, element: int, /, *arguments: object) -> None: ...
def dropout(
    x: object,
    out: object,
    masks: object,
    p: object,
    strides: tuple[int, ...] | None,
    mask_class: type[_Mask],
    /,
) -> tuple[NDArray[Any], _Mask] | None: ...
def draw_mask(masks: object, p: float, shape: tuple[int, ...], mask_class: type[_Mask], /) -> _Mask: ...
def draw_blocks(
    corners: MaskState, shape: tuple[int, ...], block: tuple[int, ...], /
) -> tuple[bytes, int]: ...
def are_probabilities(values: NDArray[np.float64], /) -> bool: ...
def scales(rates: bytes, /) -> bytes: ...
def seed_key(low: int, high: int, /) -> tuple[int, int]: ...
def generate(
    generator: str, first: int, upper: int, key: Sequence[int], block_count: int, /
) -> NDArray[np.uint32]: ...
def function(name: str, x: NDArray[Any], /) -> NDArray[Any]: ...
def isas() -> list[tuple[str, str, bool]]: ...
def isa() -> str: ...
def use_isa(name: str, /) -> str: ...
def thread_count() -> int: ...
def xla_dropout(minor: int, /) -> object: ...
def set_thread_limit(limit: int, /) -> int: ...
