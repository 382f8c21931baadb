class Solution:
    def separateSquares(self, squares):
        """Halving, in whole millionths of a step (2 ** -20), so that no sum is rounded."""
        unit = 1 << 20
        whole = sum(side * side for _, _, side in squares) * unit

        def below(height):
            return sum(side * min(max(height - y * unit, 0), side * unit) for _, y, side in squares)

        low, high = -1, max(y + side for _, y, side in squares) * unit
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if 2 * below(middle) >= whole else (middle, high)
        return high / unit
