import bisect
import collections
import itertools


class Solution:
    def maxRectangleArea(self, xCoord, yCoord):
        """Neighbours on one vertical, met again further right: empty if no point came between, at any height there.

        `seen` counts the points at or below a height (a Fenwick tree) in the columns so far.
        """
        heights = sorted(set(yCoord))
        columns = collections.defaultdict(list)
        for x, y in zip(xCoord, yCoord, strict=False):
            columns[x].append(bisect.bisect_left(heights, y))
        tree = [0] * (len(heights) + 1)

        def seen(rank):
            total = 0
            while rank:
                total += tree[rank]
                rank &= rank - 1
            return total

        last, best = {}, -1
        for x in sorted(columns):
            ranks = sorted(columns[x])
            pairs = list(itertools.pairwise(ranks))
            for low, high in pairs:
                before = last.get((low, high))
                if before and before[1] == seen(high + 1) - seen(low):
                    best = max(best, (x - before[0]) * (heights[high] - heights[low]))
            for rank in ranks:
                place = rank + 1
                while place < len(tree):
                    tree[place] += 1
                    place += place & -place
            for low, high in pairs:
                last[low, high] = x, seen(high + 1) - seen(low)
        return best
