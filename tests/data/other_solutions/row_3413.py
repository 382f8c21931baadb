import bisect


class Solution:
    def maximumCoins(self, coins, k):
        """A best stretch begins where bags begin or ends where bags end; sums up to any place by segment."""
        coins = sorted(coins)
        lefts = [left for left, _, _ in coins]
        sums = [0]
        for left, right, amount in coins:
            sums.append(sums[-1] + (right - left + 1) * amount)

        def upto(place):
            i = bisect.bisect_right(lefts, place)
            if i == 0:
                return 0
            left, right, amount = coins[i - 1]
            return sums[i - 1] + (min(right, place) - left + 1) * amount

        ends = [left + k - 1 for left in lefts] + [right for _, right, _ in coins]
        return max(upto(end) - upto(end - k) for end in ends)
