"""How fast training is, beside pythae, a plain PyTorch loop and the hardware's floor.

`python -m benchmarks` measures; docs/performance.md explains.
"""

import os

# pythae has no option to silence its progress bars; tqdm reads this when it is imported
os.environ.setdefault("TQDM_DISABLE", "1")
