"""Compiled selection from a tile of scores, for the host.

Scores come as their bit patterns. Read as signed integers, positive floats are in order and above
every negative one; read as unsigned integers, negative floats are in reverse order and every
positive one is below them. So one integer comparison with the threshold's pattern decides, for
float32 and bfloat16 alike, and a run of patterns is searched for its extreme: that compiles to
vector instructions, which a search among floats does not.
"""

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True)

RUN = 128
STEP = 16


@compiled
def _pattern(floor, shift, scratch):
    """The bit pattern of a float64 floor, rounded down to the tile's precision."""
    scratch[0] = floor
    if np.float64(scratch[0]) > floor:
        scratch[0] = np.nextafter(scratch[0], np.float32(-np.inf))
    bits = scratch.view(np.uint32)[0]
    pattern = bits >> shift
    if bits >> np.uint32(31) and (pattern << shift) != bits:
        pattern += np.uint32(1)
    if pattern == 0:  # as a score zero equals minus zero, which has the lower pattern
        pattern = np.uint32(0x80000000) >> shift
    return pattern


@compiled
def _above(run, pattern):
    largest = run[0]
    for j in range(len(run)):
        largest = max(largest, run[j])
    return largest >= pattern


@compiled
def _below(run, pattern):
    least = run[0]
    for j in range(len(run)):
        least = min(least, run[j])
    return least <= pattern


@compiled
def _prune(count, columns, scores, lower, k, floor):
    """Drops what the k best of a buffer rule out; returns the new count and floor."""
    if count >= k:
        floor = max(floor, np.float64(np.partition(lower[:count], count - k)[count - k]))
    kept = 0
    for c in range(count):
        if scores[c] >= floor:
            columns[kept], scores[kept], lower[kept] = columns[c], scores[c], lower[c]
            kept += 1
    return kept, floor


@compiled
def _passes(bits, pattern, negative, sign):
    """Whether one score, as an unsigned pattern, reaches the floor's pattern."""
    if negative:
        return bits <= pattern
    return bits >= pattern and bits < sign


@compiled
def scan(tile, signed, first, k, floors, bounds, own, start, buffer):
    """Appends to each row's buffer the columns that its k nearest may include.

    tile (q, m): bit patterns, uint16 of bfloat16 or uint32 of float32; signed: the same memory as
    signed integers. first: the number of the tile's column 0 in the block of targets. floors (q,):
    the least product of interest, raised as the buffer fills. bounds: ``twice`` (q,), the two-sided
    bound that belongs to a row, and ``above`` (m,). own (q,): the column that is the row itself, or
    -1. start (q,): the column to go on from. buffer: `columns`, `scores`, `lower` (q, capacity) and
    `counts` (q,), where ``lower`` is the floor that a pair proves for the others.

    Returns how many rows stopped early, their buffer full of columns that only a measurement can
    rule out; ``start`` says where.
    """
    twice, above = bounds
    columns, scores, lower, counts = buffer
    width, capacity = tile.shape[1], columns.shape[1]
    shift = np.uint32(32 - 8 * tile.itemsize)
    sign = np.uint32(0x80000000) >> shift
    # A bfloat16 product was rounded once more, by at most 2^-8 of itself; a float32 one was not.
    roundoff = 2.0**-8 if shift else 0.0
    scratch = np.empty(1, np.float32)
    stopped = 0
    for i in range(tile.shape[0]):
        pattern = _pattern(floors[i], shift, scratch)
        negative = pattern >= sign
        count = counts[i]
        j = start[i]
        reach = RUN
        while j < width:
            # A long run is searched first; where it holds something, short ones find it.
            end = min(j + reach, width)
            if negative:
                hit = _below(tile[i, j:end], pattern)
            else:
                hit = _above(signed[i, j:end], np.int64(pattern))
            if not hit:
                j = end
                reach = RUN if j % RUN == 0 else STEP
                continue
            if reach == RUN:
                reach = STEP
                continue
            while j < end:
                bits = np.uint32(tile[i, j])
                if _passes(bits, pattern, negative, sign) and first + j != own[i]:
                    if count == capacity:
                        count, floors[i] = _prune(
                            count, columns[i], scores[i], lower[i], k, floors[i]
                        )
                        pattern = _pattern(floors[i], shift, scratch)
                        negative = pattern >= sign
                        if 4 * count > 3 * capacity:
                            break
                        continue
                    scratch.view(np.uint32)[0] = bits << shift
                    score = np.float64(scratch[0])
                    columns[i, count] = first + j
                    scores[i, count] = score + roundoff * abs(score)
                    lower[i, count] = score - roundoff * abs(score) - twice[i] - above[j]
                    count += 1
                j += 1
            if j < end:
                break
            reach = RUN if j % RUN == 0 else STEP
        start[i], counts[i] = j, count
        stopped += j < width
    return stopped


@compiled
def collect(k, floors, buffer, rows, others):
    """Empties the buffers of what is still possible into flat pairs; returns how many.

    rows, others: (q * capacity,) row of the tile and column of the block, row after row.
    """
    columns, scores, lower, counts = buffer
    total = 0
    for i in range(len(counts)):
        count, floors[i] = _prune(counts[i], columns[i], scores[i], lower[i], k, floors[i])
        for c in range(count):
            rows[total], others[total] = i, columns[i, c]
            total += 1
        counts[i] = 0
    return total


@compiled
def insert(ranks, indices, rows, new_ranks, new_indices):
    """Merges measured pairs into each row's k nearest, ordered by (rank, row number).

    ranks, indices: (q, k), sorted; rows (pairs,): which of the q rows each new pair belongs to.
    """
    last = ranks.shape[1] - 1
    for c in range(len(rows)):
        i, rank, index = rows[c], new_ranks[c], new_indices[c]
        held, other = ranks[i, last], indices[i, last]
        if rank > held or (rank == held and index >= other):
            continue
        place = last
        while place > 0 and (
            ranks[i, place - 1] > rank
            or (ranks[i, place - 1] == rank and indices[i, place - 1] > index)
        ):
            ranks[i, place], indices[i, place] = ranks[i, place - 1], indices[i, place - 1]
            place -= 1
        ranks[i, place], indices[i, place] = rank, index
