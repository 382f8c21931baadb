class Solution:
    def countArrays(self, original, bounds):
        """The shift of the whole array must suit every place."""
        low = max(u - value for value, (u, _) in zip(original, bounds, strict=False))
        high = min(v - value for value, (_, v) in zip(original, bounds, strict=False))
        return max(0, high - low + 1)
