"""Headroom: how close the activations of a model come to what fp16 can hold, measured on real frames."""

from __future__ import annotations

from gi_edge.config import Value

FP16_LARGEST = 65_504.0
"""Largest finite fp16 value: (2 - 2^-10)·2^15 (IEEE 754-2019, binary16)."""


class BlockHeadroom(Value):
    """Extremes of one block over all frames, computed in fp32."""

    block: str
    largest: float
    """Largest absolute value of any tensor that is fp16 in the exported graph."""
    tensor: str
    """The tensor that reaches it: a layer's output, or what a layer is given."""
    grn_rms: float | None
    """Largest root mean square over the positions of any channel that GRN takes; None without GRN."""
    grn_sum_of_squares: float | None
    """Largest sum of squares over the positions of any channel that GRN takes; fp32 in the exported graph."""
    norm_sum_of_squares: float | None
    """Largest sum of squared deviations over the channels of any position of a LayerNorm; fp32 likewise."""

    @property
    def share(self) -> float:
        """The largest value as a share of what fp16 holds; above 1 it overflows."""
        return self.largest / FP16_LARGEST

    @property
    def naive_overflow(self) -> str:
        """What would overflow here in a graph that is fp16 throughout; empty if nothing would."""
        sums = {"GRN's sum of squares": self.grn_sum_of_squares, "LayerNorm's sum of squares": self.norm_sum_of_squares}
        for name, value in ({self.tensor: self.largest} | sums).items():
            if value is not None and value > FP16_LARGEST:
                return f"{name}, {value:,.0f}"
        return ""


class Headroom(Value):
    """The blocks of a model in the order they run."""

    frames: int
    size_px: int
    blocks: tuple[BlockHeadroom, ...]

    @property
    def tightest(self) -> BlockHeadroom:
        """The block that comes nearest to the limit."""
        return max(self.blocks, key=lambda block: block.largest)

    @property
    def first_overflow(self) -> BlockHeadroom | None:
        """The first block where fp16 overflows, in the graph as it is exported."""
        return next((block for block in self.blocks if block.largest > FP16_LARGEST), None)

    @property
    def first_naive_overflow(self) -> BlockHeadroom | None:
        """The first block where a graph that is fp16 throughout would overflow."""
        return next((block for block in self.blocks if block.naive_overflow), None)

    def line(self) -> str:
        """Say in one line how much room there is, and where least."""
        tight, naive = self.tightest, self.first_naive_overflow
        text = (
            f"fp16 headroom on {self.frames} frames: tightest {tight.block}, {tight.tensor} reaches "
            f"{tight.largest:,.0f} of {FP16_LARGEST:,.0f} ({tight.share:.2%})"
        )
        if naive is None:
            return f"{text}; sums in half would hold as well"
        return f"{text}; sums in half would overflow at {naive.block} ({naive.naive_overflow})"
