"""What child processes get of the server's environment: what programs need to run, by name.

All else stays here: keys of clouds, tokens of hubs, proxies with passwords, and whatever else somebody has set.
"""

from collections.abc import Mapping

NAMES = frozenset(
    {
        "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD", "LOGNAME", "PATH", "PYTHONHOME", "PYTHONPATH",
        "TEMP", "TMP", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV",
    }
)  # fmt: skip
FAMILIES = (
    "CUDA_", "DNNL_", "GOMP_", "KMP_", "LC_", "MALLOC_", "MKL_", "OMP_", "ONEDNN_", "OPENBLAS_", "OV_", "TBB_",
)  # fmt: skip
"""Beginnings of the names by which libraries of numerics, threads and memory are tuned."""


def child_environment(ours: Mapping[str, str], inherits: tuple[str, ...] = ()) -> dict[str, str]:
    """The variables that a child process gets of `ours`; also those whose names begin with one of `inherits`."""
    families = (*FAMILIES, *inherits)
    return {name: value for name, value in ours.items() if name in NAMES or name.startswith(families)}
