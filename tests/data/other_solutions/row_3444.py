import functools
import math


class Solution:
    def minimumIncrements(self, nums, target):
        """Number by number: the targets it serves are a set, at the price to their least common multiple."""
        whole = (1 << len(target)) - 1
        multiples = {}
        for served in range(1, whole + 1):
            multiples[served] = math.lcm(*(t for i, t in enumerate(target) if served >> i & 1))
        best = [0] + [math.inf] * whole
        for value in nums:
            row = best[:]
            for served, multiple in multiples.items():
                price = -value % multiple
                for before in range(whole + 1):
                    if not before & served:
                        row[before | served] = min(row[before | served], best[before] + price)
            best = row
        return functools.reduce(min, best[whole:])
