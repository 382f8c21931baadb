class Solution:
    def countGoodNodes(self, edges):
        """Leaves are taken off one by one; each hands its size to its only neighbour left."""
        near = [set() for _ in range(len(edges) + 1)]
        for a, b in edges:
            near[a].add(b)
            near[b].add(a)
        size, sizes = [1] * len(near), [set() for _ in near]
        leaves = [node for node in range(1, len(near)) if len(near[node]) == 1]
        while leaves:
            node = leaves.pop()
            (parent,) = near[node]
            near[parent].remove(node)
            size[parent] += size[node]
            sizes[parent].add(size[node])
            if parent and len(near[parent]) == 1:
                leaves.append(parent)
        return sum(len(found) <= 1 for found in sizes)
