import heapq
import itertools


class Solution:
    def minLength(self, s, numOps):
        """Either the string is made to alternate, or the run with the longest piece is cut once more."""
        flips = sum(bit == "01"[i % 2] for i, bit in enumerate(s))
        if min(flips, len(s) - flips) <= numOps:
            return 1
        runs = [(-len(list(run)), len(list(run)), 1) for _, run in itertools.groupby(s)]
        runs = [(piece, -piece, 1) for piece, _, _ in runs]
        heapq.heapify(runs)
        for _ in range(numOps):
            piece, length, pieces = runs[0]
            if piece == -2:
                break
            heapq.heapreplace(runs, (-(length // (pieces + 1)), length, pieces + 1))
        return -runs[0][0]
