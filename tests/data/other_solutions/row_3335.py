class Solution:
    def lengthAfterTransformations(self, s, t):
        """length[k]: what an 'a' has become after k turns; a later letter is an 'a' that has had some already."""
        mod = 10**9 + 7
        length = [1] * 26
        for k in range(26, t + 26):
            length.append((length[k - 26] + length[k - 25]) % mod)
        return sum(length[t + ord(letter) - ord("a")] for letter in s) % mod
