import collections


class Solution:
    def maxArea(self, height, positions, directions):
        """The area is a broken line in time: it is highest where a piston turns, and repeats after 2 * height."""
        turns = collections.Counter()
        slope = 0
        for position, direction in zip(positions, directions, strict=False):
            up = direction == "U"
            first = height - position if up else position
            slope += 1 if up else -1
            turns[first] += -2 if up else 2
            turns[first + height] += 2 if up else -2
        area = best = sum(positions)
        now = 0
        for moment in sorted(turns):
            area += slope * (moment - now)
            best = max(best, area)
            slope += turns[moment]
            now = moment
        return best
