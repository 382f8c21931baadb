class Solution:
    def longestPalindrome(self, s, t):
        """A common part of s and of t backwards, then a palindrome that starts behind it in s, or in t backwards."""
        backwards = t[::-1]
        return max(self.half(s, backwards), self.half(backwards, s))

    def half(self, a, b):
        starting = self.palindromes(a)
        best = max(starting, default=0)
        row = [0] * (len(b) + 1)
        for i, letter in enumerate(a, start=1):
            for j in range(len(b), 0, -1):
                row[j] = row[j - 1] + 1 if b[j - 1] == letter else 0
            common = max(row)
            if common:
                best = max(best, 2 * common + starting[i])
        return best

    def palindromes(self, text):
        """By start: length of the longest palindrome there; 0 past the end."""
        found = [0] * (len(text) + 1)
        for centre in range(2 * len(text) - 1):
            left, right = centre // 2, (centre + 1) // 2
            while left >= 0 and right < len(text) and text[left] == text[right]:
                found[left] = max(found[left], right - left + 1)
                left, right = left - 1, right + 1
        return found
