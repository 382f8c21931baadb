import collections
import math


class Solution:
    def subsequencesWithMiddleMode(self, nums):
        """By the number in the middle and how many more of it there are: two more or better always suffice, with one
        more the three others must differ from one another."""
        left, right = collections.Counter(), collections.Counter(nums)
        total = 0
        for i, value in enumerate(nums):
            right[value] -= 1
            total += self.around(value, left, right, i, len(nums) - 1 - i)
            left[value] += 1
        return total % (10**9 + 7)

    def around(self, value, left, right, n_left, n_right):
        ours, theirs = left[value], right[value]
        others_left, others_right = n_left - ours, n_right - theirs

        def picked(same, others, more):
            return math.comb(same, more) * math.comb(others, 2 - more)

        sides = [(picked(ours, others_left, m), picked(theirs, others_right, m)) for m in range(3)]
        total = sum(sides[a][0] * sides[b][1] for a in range(3) for b in range(3) if a + b >= 2)
        both = [(left[v], right[v]) for v in right if v != value]
        return total + ours * self.different(both) + theirs * self.different([(far, near) for near, far in both])

    def different(self, both):
        """Ways to one other number on the near side and two on the far side, all different."""
        far = sum(f for _, f in both)
        pairs = (far * far - sum(f * f for _, f in both)) // 2
        return sum(n * (pairs - f * (far - f)) for n, f in both)
