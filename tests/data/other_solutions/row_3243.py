class Solution:
    def shortestDistanceAfterQueries(self, n, queries):
        """A search in breadth after every road."""
        roads = [[city + 1] for city in range(n - 1)] + [[]]
        answer = []
        for start, end in queries:
            roads[start].append(end)
            answer.append(self.steps(roads, n - 1))
        return answer

    def steps(self, roads, goal):
        reached, row, count = {0}, [0], 0
        while goal not in reached:
            row = [city for city in {end for start in row for end in roads[start]} if city not in reached]
            reached.update(row)
            count += 1
        return count
