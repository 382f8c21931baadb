class Solution:
    def maxPossibleScore(self, start, d):
        """The largest gap with which the numbers, each as far left as it may be, all stay in their intervals."""
        ordered = sorted(start)

        def fits(gap):
            last = -gap
            for left in ordered:
                last = max(left, last + gap)
                if last > left + d:
                    return False
            return True

        low, high = 0, ordered[-1] + d - ordered[0] + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low
