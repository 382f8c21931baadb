class Solution:
    def lastMarkedNodes(self, edges):
        """The furthest node is an end of a longest path: whichever is further."""
        near = [[] for _ in range(len(edges) + 1)]
        for a, b in edges:
            near[a].append(b)
            near[b].append(a)
        one = self.distances(near, 0)
        first = one.index(max(one))
        from_first = self.distances(near, first)
        second = from_first.index(max(from_first))
        from_second = self.distances(near, second)
        return [first if a >= b else second for a, b in zip(from_first, from_second, strict=False)]

    def distances(self, near, start):
        found = [-1] * len(near)
        found[start] = 0
        row = [start]
        for node in row:
            for other in near[node]:
                if found[other] < 0:
                    found[other] = found[node] + 1
                    row.append(other)
        return found
