import bisect


class Solution:
    def resultsArray(self, queries, k):
        """All distances, kept sorted."""
        distances, answer = [], []
        for x, y in queries:
            bisect.insort(distances, abs(x) + abs(y))
            answer.append(distances[k - 1] if len(distances) >= k else -1)
        return answer
