"""Checkers of rows with several right answers, each written from its prompt alone.

A checker is called with the listed answer, the answer as plain data, and the call's arguments under the prompt's names;
it says whether the answer is right. It runs on the trusted side: its time is bounded by the size of the arguments
(a listed answer is of their size), whatever the answer is, and no answer makes it raise.
"""

from collections.abc import Callable, Sequence

Checker = Callable[..., bool]
Graph = list[list[int]]  # neighbours by node


def furthest_nodes(expected: object, answer: object, edges: Sequence[Sequence[int]]) -> bool:
    """answer[v] is a node at the greatest distance from v in the tree of `edges`, for each node v.

    With a node in the middle of each edge the tree has one centre, and the nodes furthest from v are the deepest ones
    below the centre in another branch than v's: a longest walk from v leads over the centre.
    Where `edges` is no tree, which the prompt excludes, the listed answer alone is right.
    """
    size = len(edges) + 1
    graph = _with_middles(edges, size)
    if graph is None:
        return answer == expected
    if not (isinstance(answer, list) and len(answer) == size and all(_is_node(u, size) for u in answer)):
        return False
    centre = _centre(graph)
    depths, branches = _below(graph, centre)
    radius = max(depths)
    return all(depths[u] == radius and (v == centre or branches[u] != branches[v]) for v, u in enumerate(answer))


def _is_node(value: object, size: int) -> bool:
    return type(value) is int and 0 <= value < size


def _with_middles(edges: Sequence[Sequence[int]], size: int) -> Graph | None:
    """The tree in which edge i has become node size + i; None where it is no tree."""
    graph: Graph = [[] for _ in range(size + len(edges))]
    for middle, edge in enumerate(edges, start=size):
        if len(edge) != 2 or not all(_is_node(end, size) for end in edge):
            return None
        for end in edge:
            graph[middle].append(end)
            graph[end].append(middle)
    return graph if all(depth >= 0 for depth in _below(graph, 0)[0]) else None


def _below(graph: Graph, root: int) -> tuple[list[int], list[int]]:
    """By node: its depth (-1: not reached from the root), and the root's neighbour that it hangs on (the root: -1)."""
    depths, branches = [-1] * len(graph), [-1] * len(graph)
    depths[root] = 0
    row = [root]
    while row:
        found = []
        for node in row:
            for neighbour in graph[node]:
                if depths[neighbour] < 0:
                    depths[neighbour] = depths[node] + 1
                    branches[neighbour] = neighbour if node == root else branches[node]
                    found.append(neighbour)
        row = found
    return depths, branches


def _centre(graph: Graph) -> int:
    """The node in the middle of a longest path."""
    end = _deepest(_below(graph, 0)[0])
    depths = _below(graph, end)[0]
    node = _deepest(depths)
    for _ in range(depths[node] // 2):
        node = next(neighbour for neighbour in graph[node] if depths[neighbour] < depths[node])
    return node


def _deepest(depths: Sequence[int]) -> int:
    return max(range(len(depths)), key=depths.__getitem__)


CHECKERS: dict[str, Checker] = {"furthest_nodes": furthest_nodes}
# The benchmark's rows whose prompts admit other answers in a way that no general rule judges: (id, method) -> checker.
SHIPPED: dict[tuple[str, str], str] = {("3313", "lastMarkedNodes"): "furthest_nodes"}
