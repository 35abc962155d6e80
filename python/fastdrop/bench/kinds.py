# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of case: what is done, and which operation of the core does it."""

from dataclasses import dataclass

from fastdrop import _core

from .fused import FUSED


@dataclass(frozen=True)
class Kind:
    """A kind of case: what is done, and the core's operation that does it."""

    about: str
    operation: str | None = "dropout"  # None where not bytes are what counts, but calls or a whole step
    host: str | None = None  # the library whose arrays these are: measured only if you ask for the kind
    optional: tuple[str, ...] = ()  # optional operands of x's size that are there
    has_peak: bool = False  # whether the peak of memory is measured as well

    def moved(self, direction: str | None) -> tuple[str, ...]:
        """The operands of x's size: all that must be read or written at the least."""
        if self.operation is None:
            return ()
        backward = f"{self.operation}_backward"
        passes = {"backward": [backward], "both": [self.operation, backward]}
        rows = [
            _core.operations.get(name, _core.operations[self.operation])  # backward, the same may be done
            for name in passes.get(str(direction), [self.operation])
        ]
        return tuple(
            operand.name
            for row in rows
            for operand in (*row.inputs, *row.outputs)
            if operand.access == "full" and (not operand.optional or operand.name in self.optional)
        )


KINDS = {
    "dropout": Kind("plain dropout"),
    "alpha_dropout": Kind("alpha dropout", "alpha_dropout"),
    "gaussian_dropout": Kind("Gaussian dropout, whose mask is noise", "gaussian_dropout"),
    "keep_mask": Kind("the mask as an array of bool", "keep_mask"),
    "channel_dropout": Kind("images, one decision for a channel"),
    "locked_dropout": Kind("sequences, the same decisions at every step"),
    "stored_masks": Kind("the mask is stored, a bit an element, or replayed by the generator"),
    "small_calls": Kind("one call on a small array: what calling costs", None),
    "threads": Kind("on several threads and on one"),
    "windows": Kind("by a mask that begins far out in a larger one"),
    "transposed": Kind("from a matrix that lies transposed, by a given mask"),
    "train_step": Kind(
        "forward, backward and update of a NumPy network 784-1024-1024-10, batch 128, with dropout after both"
        " hidden layers",
        None,
    ),
    "torch": Kind("a tensor of PyTorch", host="torch"),
    "torch_step": Kind(
        "forward, backward and update of a torch.nn.TransformerEncoder: two layers of 256 units, four heads,"
        " batch 16 x 128",
        None,
        "torch",
    ),
    "jax": Kind("an array of JAX, under jit", host="jax"),
    "dask": Kind("an array of Dask in 16 chunks, computed by its threads", host="dask"),
    "structured": Kind("shared decisions, arrays of p, blocks, layouts, 16 bits, kinds of rng", None),
    **{name: Kind(fused.about, fused.operation, optional=fused.optional) for name, fused in FUSED.items()},
    "softmax_dropout": Kind(
        "rows of scores scaled, their softmax, and dropout", "softmax_dropout", None, ("weights",), True
    ),
    "attention": Kind("attention with dropout of its weights", None, has_peak=True),
    "causal_attention": Kind("causal attention with dropout of its weights", None, has_peak=True),
    "transformer_step": Kind(
        "forward, backward and update of two pre-norm layers of a transformer, four heads, gelu, with dropout"
        " of attention, hidden units and residuals",
        None,
        has_peak=True,
    ),
}
DIRECTIONS = {
    "forward": "y from x, by a new mask for every call",
    "backward": "dx from dy, by the mask of a forward pass that was not timed",
    "both": "y from x by a new mask, then dx from dy by the same mask",
}
