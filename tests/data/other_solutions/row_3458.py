class Solution:
    def maxSubstringLength(self, s, k):
        """The shortest special substring from every letter's first place; as many as do not overlap, by their ends."""
        first = {letter: s.index(letter) for letter in set(s)}
        last = {letter: s.rindex(letter) for letter in set(s)}
        found = []
        for start in first.values():
            end, i = last[s[start]], start
            while i <= end and first[s[i]] >= start:
                end = max(end, last[s[i]])
                i += 1
            if i > end and (start, end) != (0, len(s) - 1):
                found.append((end, start))
        count, reach = 0, -1
        for end, start in sorted(found):
            if start > reach:
                count, reach = count + 1, end
        return count >= k
