"""Which rollouts share a token mean: the micro-batches that verl 0.6.1 makes of a step.

Before its update verl deals the rollouts to its ranks so that each computes about as much, orders each rank's by
length, and cuts them into micro-batches of a fixed size. The loss is the mean of their token means, so a token weighs
more where its neighbours are short. The pieces that memory cuts (`micro_batch`) are others and change nothing here.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

Part = tuple[int, int, tuple[tuple[int, int], ...]]  # work, members, (place, work) of each: compared in this order


def micro_batches(lengths: Sequence[int], size: int, ranks: int) -> list[list[int]]:
    """Places of rollouts by micro-batch, rank after rank. `lengths`: tokens of each rollout with its prompt.

    Raises ValueError where the rollouts are no multiple of size * ranks. Source: verl 0.6.1,
    RayPPOTrainer._balance_batch and DataParallelPPOActor.update_policy.
    """
    if len(lengths) % (size * ranks):
        raise ValueError(f"{len(lengths)} rollouts make no whole micro-batches of {size} on each of {ranks} ranks")
    work = [24_576 * n + n * n for n in lengths]  # verl's count of a rollout's FLOPs, up to a factor
    found = []
    for part in balanced_parts(work, ranks):
        rising = sorted(part, key=lambda i: (work[i], i))
        ordered = rising[::2] + rising[1::2][::-1]  # the shortest at both ends
        found += [ordered[i : i + size] for i in range(0, len(ordered), size)]
    return found


def balanced_parts(work: Sequence[int], parts: int) -> list[list[int]]:
    """Places dealt into parts of equal number and nearly equal work, by the largest differencing method.

    Karmarkar and Karp 1982: of all partial deals the two most uneven are merged, heaviest part with lightest. Equal
    sums are ordered by members, as verl does, so that ties fall the same way.
    """
    rising = sorted(range(len(work)), key=lambda i: (work[i], i))
    deals = [
        _deal([(work[i], 1, ((i, work[i]),)) for i in rising[at : at + parts]]) for at in range(0, len(work), parts)
    ]
    heap = [(_unevenness(deal), deal) for deal in deals]
    heapq.heapify(heap)
    while len(heap) > 1:
        first, second = heapq.heappop(heap)[1], heapq.heappop(heap)[1]
        merged = _deal([_joined(a, b) for a, b in zip(first, reversed(second), strict=True)])
        heapq.heappush(heap, (_unevenness(merged), merged))
    return [sorted(place for place, _ in members) for _, _, members in heap[0][1]]


def _deal(parts: list[Part]) -> list[Part]:
    """Heaviest part first."""
    return sorted(parts, reverse=True)


def _joined(a: Part, b: Part) -> Part:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _unevenness(deal: list[Part]) -> tuple[int, ...]:
    """Rises as a deal is to be merged later: the largest spread first, then the heaviest part."""
    work, members, places = deal[0]
    return -(work - deal[-1][0]), -work, -members, *(-number for pair in places for number in pair)
