"""Functions of symmetric matrices as torch differentiates them."""

from typing import Any

import torch

from . import symmetric as functions
from .matrices import eigh, symmetric, transpose


class Value(torch.autograd.Function):
    """f(p), whose derivative along g is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, p: Any, function: Any) -> Any:
        ctx.save_for_backward(p)
        ctx.function = function
        return functions.of(function, p.detach())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        (p,) = (each.detach() for each in ctx.saved_tensors)
        return functions.along(ctx.function, p, symmetric(gradients[0])), None


class Slope(torch.autograd.Function):
    """The derivative of f at p along u: linear in u, and its own adjoint in it."""

    @staticmethod
    def forward(ctx: Any, p: Any, u: Any, function: Any) -> Any:
        ctx.save_for_backward(p, u)
        ctx.function = function
        p, u = torch.broadcast_tensors(p.detach(), u.detach())
        return functions.along(function, p, u)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        p, u = (each.detach() for each in ctx.saved_tensors)
        g, function = symmetric(gradients[0]), ctx.function
        values, vectors = eigh(p)
        there, back = transpose(vectors) @ u @ vectors, transpose(vectors) @ g @ vectors
        # <D^2 f(p)[h, u], g> = sum f[i, k, j] (h_ik u_kj + u_ik h_kj) g_ij, for all h.
        three = functions.second_differences(function, values)
        inside = torch.einsum("...ikj,...kj,...ij->...ik", three, there, back)
        inside = inside + torch.einsum("...ikj,...ik,...ij->...kj", three, there, back)
        at_p = symmetric(vectors @ symmetric(inside) @ transpose(vectors))
        along_u = functions.along(function, p, g)
        return _summed(at_p, p), _summed(along_u, u), None


def _summed(gradient: Any, like: Any) -> Any:
    """What belongs to an argument that was broadcast."""
    return gradient.sum_to_size(like.shape)
