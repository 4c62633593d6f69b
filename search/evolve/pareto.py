"""Points of several objectives to who is beaten by whom: NSGA-II's fronts and crowding; it knows no rules.

After Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II" (IEEE
Transactions on Evolutionary Computation 6, 2002). Every objective is the larger the better.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def ranks(points: Floats) -> list[int]:
    """The front of each of the points (count, objectives): 0 for those that none dominates, 1 for the next, …"""
    at_least = (points[:, None] >= points[None]).all(-1)
    dominates = at_least & (points[:, None] > points[None]).any(-1)
    rank = np.full(len(points), -1)
    front = 0
    while (left := rank < 0).any():
        beaten = (dominates & left[:, None]).any(0)
        rank[left & ~beaten] = front
        front += 1
    return [int(r) for r in rank]


def crowding(points: Floats) -> list[float]:
    """The room around each point of one front: the sides of the box between its neighbours, infinite at the ends."""
    room = np.zeros(len(points))
    for values in points.T:
        order = np.argsort(values, kind="stable")
        sorted_values = values[order]
        room[order[[0, -1]]] = np.inf
        width = sorted_values[-1] - sorted_values[0]
        if width > 0:
            room[order[1:-1]] += (sorted_values[2:] - sorted_values[:-2]) / width
    return [float(r) for r in room]


def by_merit(points: Floats) -> list[int]:
    """The points' places, the best first: by front, then by room, then as they came."""
    rank = ranks(points)
    room = np.zeros(len(points))
    for front in set(rank):
        here = [k for k, r in enumerate(rank) if r == front]
        room[here] = crowding(points[here])
    return sorted(range(len(points)), key=lambda k: (rank[k], -room[k], k))
