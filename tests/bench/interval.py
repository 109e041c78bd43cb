"""The median of a sample and how well it is known."""

from math import comb
from statistics import median


def median_interval(values, level=0.95):
    """(low, median, high): the shortest interval of order statistics that holds the median of what
    the values were drawn from with probability `level` or more, whatever its distribution.
    """
    ordered = sorted(values)
    n = len(ordered)
    outside, rank = 0.0, 0
    # The median lies below the (rank + 1)th smallest with probability P(Binomial(n, 1/2) <= rank).
    while outside + comb(n, rank) / 2**n <= (1 - level) / 2:
        outside += comb(n, rank) / 2**n
        rank += 1
    if rank == 0:
        raise ValueError(f"{n} values are too few for a {level:.0%} interval")
    return ordered[rank - 1], median(ordered), ordered[n - rank]
