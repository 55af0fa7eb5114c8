"""Clusters set up for geodask, on this machine and its GPUs, and scaling by the work that is left.

A client of any of them is all that plans need: `Client(geodask.cluster.local())`.
"""

from .scaling import adaptive as adaptive
from .start import gpu as gpu
from .start import local as local
