"""`python -m gi_edge`, and what `torchrun -m gi_edge` starts in every process."""

from __future__ import annotations

from gi_edge.cli.main import main

if __name__ == "__main__":
    main()
