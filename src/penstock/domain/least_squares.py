"""Least squares with coefficients that are not negative, exactly, for a handful of unknowns."""

from collections.abc import Sequence
from itertools import combinations

_SINGULAR = 1e-12


def nonnegative_least_squares(rows: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
    """The coefficients k >= 0 for which the products of `rows` and k are nearest to one, in weighted squares.

    Every subset of the unknowns is solved, and the best solution without a negative one is taken: with five unknowns
    that is 31 small systems, and exact where a descent may take thousands of rounds.
    """
    width = len(rows[0]) if rows else 0
    scale = [max(abs(row[k]) for row in rows) for k in range(width)]
    scaled = [[x / s if s else 0.0 for x, s in zip(row, scale, strict=True)] for row in rows]
    pairs = list(zip(scaled, weights, strict=True))
    gram = [[sum(w * row[j] * row[k] for row, w in pairs) for k in range(width)] for j in range(width)]
    target = [sum(w * row[k] for row, w in pairs) for k in range(width)]
    best, most = [0.0] * width, 0.0
    used = [k for k in range(width) if scale[k]]
    for size in range(1, len(used) + 1):
        for chosen in combinations(used, size):
            solved = _solve([[gram[j][k] for k in chosen] for j in chosen], [target[j] for j in chosen])
            if solved is None or min(solved) < 0:
                continue
            # What a solution of the normal equations takes away from the squares.
            won = sum(x * target[k] for x, k in zip(solved, chosen, strict=True))
            if won > most:
                found = dict(zip(chosen, solved, strict=True))
                best, most = [found.get(k, 0.0) / (scale[k] or 1.0) for k in range(width)], won
    return best


def _solve(matrix: list[list[float]], target: list[float]) -> list[float] | None:
    """Gaussian elimination with pivots; None if the matrix is singular. Both arguments are used up."""
    size = len(target)
    for k in range(size):
        pivot = max(range(k, size), key=lambda row: abs(matrix[row][k]))
        if abs(matrix[pivot][k]) < _SINGULAR:
            return None
        matrix[k], matrix[pivot] = matrix[pivot], matrix[k]
        target[k], target[pivot] = target[pivot], target[k]
        for row in range(k + 1, size):
            factor = matrix[row][k] / matrix[k][k]
            for column in range(k, size):
                matrix[row][column] -= factor * matrix[k][column]
            target[row] -= factor * target[k]
    for k in reversed(range(size)):
        target[k] = (target[k] - sum(matrix[k][j] * target[j] for j in range(k + 1, size))) / matrix[k][k]
    return target
