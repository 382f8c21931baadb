class Solution:
    def minStartingIndex(self, s, pattern):
        """How much of the pattern matches from the left and from the right at each place."""
        m = len(pattern)
        ahead = self.z(pattern + "#" + s)[m + 1 :]
        behind = self.z(pattern[::-1] + "#" + s[::-1])[m + 1 :][::-1]
        for i in range(len(s) - m + 1):
            if ahead[i] + behind[i + m - 1] >= m - 1:
                return i
        return -1

    def z(self, text):
        found, left, right = [len(text)] + [0] * (len(text) - 1), 0, 0
        for i in range(1, len(text)):
            length = min(right - i, found[i - left]) if i < right else 0
            while i + length < len(text) and text[length] == text[i + length]:
                length += 1
            if i + length > right:
                left, right = i, i + length
            found[i] = length
        return found
