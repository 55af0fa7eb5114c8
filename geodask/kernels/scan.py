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

LOWEST = -(2.0**125)
"""A floor under every product but `BEYOND`, also where a share of it, less than 1, is taken off:
rows beyond are measured anyway, and excluded pairs must not pass."""

ROUNDOFF = 2.0**-8
"""A bfloat16 product was rounded to its 8 significant bits, by at most this share of itself."""


def pattern_of(score, itemsize):
    """The bit pattern of a score that bfloat16 (itemsize 2) or float32 holds as it is."""
    return np.float32(score).view(np.uint32) >> np.uint32(32 - 8 * itemsize)


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
def _largest(run):
    largest = run[0]
    for j in range(len(run)):
        largest = max(largest, run[j])
    return largest


@compiled
def _least(run):
    least = run[0]
    for j in range(len(run)):
        least = min(least, run[j])
    return least


@compiled
def _prune(count, columns, scores, lower, k, floor):
    """Drops what the k best of a buffer rule out; returns the new count and floor."""
    if count >= k:
        # That `lower` was rounded to float32 does no harm: scores are float32, and rounding keeps
        # the order.
        floor = max(floor, np.float64(np.partition(lower[:count], count - k)[count - k]))
    kept = 0
    for c in range(count):
        if scores[c] >= floor:
            columns[kept], scores[kept], lower[kept] = columns[c], scores[c], lower[c]
            kept += 1
    return kept, floor


@compiled
def _next(unsigned, signed, start, pattern, sign):
    """The first column from ``start`` on whose score reaches the floor's pattern, or the width.

    Long runs are searched first; where one holds something, short ones find it.
    """
    width, j = len(unsigned), start
    negative, floor = pattern >= sign, np.int64(pattern)
    while j < width:
        run = RUN if j % RUN == 0 else STEP
        end = min(j - j % run + run, width)
        if negative:
            hit = np.int64(_least(unsigned[j:end])) <= floor
        else:
            hit = np.int64(_largest(signed[j:end])) >= floor
        if hit and run == RUN:
            end = min(j + STEP, width)
        if hit and negative:
            while j < end and np.int64(unsigned[j]) > floor:
                j += 1
        elif hit:
            while j < end and np.int64(signed[j]) < floor:
                j += 1
        if hit and j < end:
            return j
        j = end
    return width


@compiled
def _seed(unsigned, signed, k, shift, scratch, best):
    """A score that k columns of a row reach: the least of the k best runs'."""
    runs = len(unsigned) // STEP
    for r in range(runs):
        run = slice(r * STEP, (r + 1) * STEP)
        largest = _largest(signed[run])
        pattern = np.uint32(largest) if largest >= 0 else np.uint32(_least(unsigned[run]))
        scratch.view(np.uint32)[0] = pattern << shift
        best[r] = scratch[0]
    return np.float64(np.partition(best[:runs], runs - k)[runs - k])


@compiled
def scan(tile, first, k, bounds, start, buffer):
    """Appends to each row's buffer the columns that its k nearest may include.

    tile: the scores (q, m) as unsigned patterns, uint16 of bfloat16 or uint32 of float32, and the
    same memory as signed integers. first: the number of the tile's column 0 in the block of
    targets. bounds: `floors` (q,), the least product of interest, raised as the buffer fills;
    `twice` (q,), the two-sided bound that belongs to a row; `above` (m,); `share`, by how much of
    itself a score may be off besides (rounding to bfloat16 is known by the tile's type). start:
    (q,), the column of the tile to go on from. buffer: `columns`, `scores`, `lower` (q, capacity)
    and `counts` (q,), where a score is the largest that the product may have been, and ``lower``
    the floor that a pair proves for others.

    Returns how many rows stopped early, their buffer full of columns that only a measurement can
    rule out; ``start`` says where.
    """
    unsigned, signed = tile
    floors, twice, above, share = bounds
    columns, scores, lower, counts = buffer
    width, capacity = unsigned.shape[1], columns.shape[1]
    shift = np.uint32(32 - 8 * unsigned.itemsize)
    sign = np.uint32(0x80000000) >> shift
    roundoff = ROUNDOFF if shift else share
    scratch = np.empty(1, np.float32)
    best = np.empty(width // STEP + 1, np.float32)
    widest = above.max()
    stopped = 0
    for i in range(len(unsigned)):
        if floors[i] <= LOWEST and counts[i] == 0 and width // STEP >= k:
            score = _seed(unsigned[i], signed[i], k, shift, scratch, best)
            floors[i] = max(floors[i], score - roundoff * abs(score) - twice[i] - widest)
        pattern = _pattern(floors[i] - share * abs(floors[i]), shift, scratch)
        count = counts[i]
        j = _next(unsigned[i], signed[i], start[i], pattern, sign)
        while j < width:
            if count == capacity:
                count, floors[i] = _prune(count, columns[i], scores[i], lower[i], k, floors[i])
                pattern = _pattern(floors[i] - share * abs(floors[i]), shift, scratch)
                if 4 * count > 3 * capacity:
                    stopped += 1
                    break
            else:
                scratch.view(np.uint32)[0] = np.uint32(unsigned[i, j]) << shift
                score = np.float64(scratch[0])
                columns[i, count] = first + j
                scores[i, count] = score + roundoff * abs(score)
                lower[i, count] = score - roundoff * abs(score) - twice[i] - above[j]
                count += 1
                j += 1
            j = _next(unsigned[i], signed[i], j, pattern, sign)
        start[i], counts[i] = j, count
    return stopped


@compiled
def keep_best(tile, first, scores, columns):
    """Takes the best products of a tile into those of each row so far, the best first.

    tile, first: as in `scan`. scores (q, k) float32, columns (q, k) int64.
    """
    unsigned, signed = tile
    width, last = unsigned.shape[1], scores.shape[1] - 1
    shift = np.uint32(32 - 8 * unsigned.itemsize)
    sign = np.uint32(0x80000000) >> shift
    scratch = np.empty(1, np.float32)
    for i in range(len(unsigned)):
        pattern = _pattern(np.float64(scores[i, last]), shift, scratch)
        j = _next(unsigned[i], signed[i], 0, pattern, sign)
        while j < width:
            scratch.view(np.uint32)[0] = np.uint32(unsigned[i, j]) << shift
            score = scratch[0]
            if score > scores[i, last]:
                place = last
                while place > 0 and scores[i, place - 1] < score:
                    scores[i, place] = scores[i, place - 1]
                    columns[i, place] = columns[i, place - 1]
                    place -= 1
                scores[i, place], columns[i, place] = score, first + j
                pattern = _pattern(np.float64(scores[i, last]), shift, scratch)
            j = _next(unsigned[i], signed[i], j + 1, pattern, sign)


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
        if not (rank < held or (rank == held and index < other)):
            continue
        place = last
        while place > 0 and (
            ranks[i, place - 1] > rank
            or (ranks[i, place - 1] == rank and indices[i, place - 1] > index)
        ):
            ranks[i, place], indices[i, place] = ranks[i, place - 1], indices[i, place - 1]
            place -= 1
        ranks[i, place], indices[i, place] = rank, index


@compiled
def tally(first, marks, found):
    """Notes for each measured pair the first mark of its query that it comes before.

    marks: as in `counting.Marks`; found: rows, ranks and numbers of the pairs. A rank that is no
    number comes before none.
    """
    starts, ranks, numbers = marks
    rows, new_ranks, new_numbers = found
    for c in range(len(rows)):
        low, high = starts[rows[c]], starts[rows[c] + 1]
        end, rank, number = high, new_ranks[c], new_numbers[c]
        while low < high:
            middle = (low + high) // 2
            if rank < ranks[middle] or (rank == ranks[middle] and number < numbers[middle]):
                high = middle
            else:
                low = middle + 1
        if low < end:
            first[low] += 1
