import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "bench"))  # the benchmarks are programs, not a package
