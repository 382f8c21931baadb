class Solution:
    def minCost(self, arr, brr, k):
        """Pieces of one element can be put in any order, so a split is worth it for the sorted match or not at all."""

        def distance(one, other):
            return sum(abs(a - b) for a, b in zip(one, other, strict=False))

        return min(distance(arr, brr), k + distance(sorted(arr), sorted(brr)))
