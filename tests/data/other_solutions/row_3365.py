class Solution:
    def isPossibleToRearrange(self, s, t, k):
        """The same pieces, sorted."""
        size = len(s) // k
        pieces, wanted = (sorted(text[i : i + size] for i in range(0, len(text), size)) for text in (s, t))
        return pieces == wanted
