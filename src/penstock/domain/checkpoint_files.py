"""Which files of a repository make a model that can be served: weights, sizes, tokenizer, and what is to be read."""

import re
from collections.abc import Iterable

from penstock.domain.errors import InvalidParameter

_KEPT = re.compile(
    r"""
    (?!consolidated) [\w.-]+ \.safetensors (\.index\.json)?
    | [\w.-]+ \.(json | jinja | tiktoken)
    | tokenizer\.model | vocab\.txt | merges\.txt
    | (README | LICEN[CS]E | NOTICE | USE_POLICY) [\w.-]*
    | 1_Pooling/config\.json
    """,
    re.VERBOSE,
)


def wanted(paths: Iterable[str], repository: str) -> list[str]:
    """The files to bring, in order: small ones that may tell of a problem before the weights.

    Other formats of the same weights stay where they are. Raises InvalidParameter if the weights are in a format that
    runs code when it is read, or are not there.
    """
    found = list(paths)
    kept = [path for path in found if _KEPT.fullmatch(path)]
    weights = [path for path in kept if path.endswith(".safetensors")]
    if not weights:
        pickled = next((path for path in found if path.endswith((".bin", ".pt", ".pth", ".ckpt"))), "")
        raise InvalidParameter(
            f"{repository} has its weights in pickle format only ({pickled}), which can run code when it is read: load "
            "it with transformers on a machine that may, call save_pretrained(FOLDER), and take FOLDER's files instead."
            if pickled
            else f"{repository} has no weights in safetensors format."
        )
    if "config.json" not in kept:
        raise InvalidParameter(f"{repository} has no config.json, so that it is not known what to compute.")
    return [*(path for path in kept if path not in weights), *weights]
