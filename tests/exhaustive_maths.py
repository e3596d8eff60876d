"""The largest error of each elementary function over all 2^32 floats, for each instruction set that runs here.

    python tests/exhaustive_maths.py [function ...]

Some minutes for each function: a script, not a test. What it prints stands in fastnn/kernels/maths.pxd.
"""

from __future__ import annotations

import sys

import numpy as np

from fastnn import kernels
from support.elementary import FUNCTIONS, compiled
from support.guarded import ulps

CHUNK = 1 << 18


def main(names: list[str]) -> None:
    modules = {isa: compiled(isa) for isa in kernels.cpu.supported()}
    for name in names:
        function = FUNCTIONS[name]
        worst = dict.fromkeys(modules, (0.0, np.float32(0)))
        for start in range(0, 1 << 32, CHUNK):
            x = np.arange(start, start + CHUNK, dtype=np.uint64).astype(np.uint32).view(np.float32)
            with np.errstate(all="ignore"):
                x = x[np.isnan(x) | ((x >= function.low) & (x <= function.high))]
                if not x.size:
                    continue
                truth = function.truth(x.astype(np.float64))
            for isa, module in modules.items():
                error = ulps(module[name](x), truth)
                i = int(error.argmax())
                if error[i] > worst[isa][0]:
                    worst[isa] = (float(error[i]), x[i])
        for isa, (error_ulps, where) in worst.items():
            print(f"{name:<15} {isa:<9} {error_ulps:.3f} ulp at {where!r}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(FUNCTIONS))
