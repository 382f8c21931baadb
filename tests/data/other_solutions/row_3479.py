class Solution:
    def numOfUnplacedFruits(self, fruits, baskets):
        """A tree of the largest capacity; the leftmost basket that is large enough is found from its top."""
        size = 1 << (len(baskets) - 1).bit_length()
        tree = [0] * size + baskets + [0] * (size - len(baskets))
        for node in range(size - 1, 0, -1):
            tree[node] = max(tree[2 * node], tree[2 * node + 1])
        unplaced = 0
        for fruit in fruits:
            if tree[1] < fruit:
                unplaced += 1
                continue
            node = 1
            while node < size:
                node = 2 * node + (tree[2 * node] < fruit)
            tree[node] = 0
            while node > 1:
                node //= 2
                tree[node] = max(tree[2 * node], tree[2 * node + 1])
        return unplaced
