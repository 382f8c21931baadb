import heapq


class Solution:
    def minTimeToReach(self, moveTime):
        """Dijkstra; whether a move takes one second or two is told by the room it starts from."""
        n, m = len(moveTime), len(moveTime[0])
        best = {(0, 0): 0}
        heap = [(0, 0, 0)]
        while heap:
            now, i, j = heapq.heappop(heap)
            if (i, j) == (n - 1, m - 1):
                return now
            if now > best[i, j]:
                continue
            for a, b in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
                if 0 <= a < n and 0 <= b < m:
                    then = max(now, moveTime[a][b]) + 1 + (i + j) % 2
                    if then < best.get((a, b), float("inf")):
                        best[a, b] = then
                        heapq.heappush(heap, (then, a, b))
        return None
