import itertools


class Solution:
    def separateSquares(self, squares):
        """Between two heights at which squares begin or end the covered width is one; strip by strip to the half."""
        heights = sorted({edge for _, y, side in squares for edge in (y, y + side)})
        strips = []
        for low, high in itertools.pairwise(heights):
            width, reach = 0, float("-inf")
            for left, right in sorted((x, x + side) for x, y, side in squares if y <= low and high <= y + side):
                width += max(0, right - max(left, reach))
                reach = max(reach, right)
            strips.append((low, high, width))
        total, area = sum((high - low) * width for low, high, width in strips), 0
        for low, high, width in strips:
            grown = area + (high - low) * width
            if 2 * grown >= total:
                return low + (total - 2 * area) / (2 * width)
            area = grown
        return None
