class Solution:
    def minValidStrings(self, words, target):
        """How far a valid string reaches from each place, from a tree of prefixes; then as few jumps as possible."""
        root = {}
        for word in words:
            node = root
            for letter in word:
                node = node.setdefault(letter, {})
        jumps, end, furthest = 0, 0, 0
        for i in range(len(target)):
            node, j = root, i
            while j < len(target) and target[j] in node:
                node, j = node[target[j]], j + 1
            furthest = max(furthest, j)
            if i == end:
                if furthest <= i:
                    return -1
                jumps, end = jumps + 1, furthest
        return jumps
