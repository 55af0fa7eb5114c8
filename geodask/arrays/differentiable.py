"""Functions of symmetric matrices, and equations of them, as torch differentiates them."""

from typing import Any

import torch

from . import coupling
from . import symmetric as functions
from .matrices import eigh, symmetric, transpose


class Value(torch.autograd.Function):
    """f(p), whose derivative along g is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, p: Any, function: Any, axes: Any) -> Any:
        ctx.save_for_backward(p)
        ctx.function, ctx.axes = function, axes
        return functions.of(function, p.detach(), axes)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        (p,) = (each.detach() for each in ctx.saved_tensors)
        g = symmetric(gradients[0])
        return functions.along(ctx.function, p, g, ctx.axes), None, None


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


class Lyapunov(torch.autograd.Function):
    """x with p x + x p = u for p = z z^T, its own adjoint in u: p dx + dx p = du - dp x - x dp."""

    @staticmethod
    def forward(ctx: Any, z: Any, u: Any, *turn: Any) -> Any:
        x = coupling.lyapunov(z.detach(), u.detach(), turn)
        ctx.save_for_backward(z, u, x, *turn)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        z, u, x, *turn = ctx.saved_tensors
        at_u = coupling.lyapunov(z, gradients[0], turn)
        at_p = -symmetric(at_u @ transpose(x) + transpose(x) @ at_u)
        return _summed(2 * at_p @ z, z), _summed(at_u, u), None, None


class OptimalStep(torch.autograd.Function):
    """T - 1 for T p T = q, whose derivative solves T p dT + dT p T = dq - T dp T."""

    @staticmethod
    def forward(ctx: Any, p: Any, q: Any) -> Any:
        step = coupling.optimal_step(p.detach(), q.detach())
        ctx.save_for_backward(p, q, step)
        return step

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        p, q, step = ctx.saved_tensors
        best = step + torch.eye(p.shape[-1], dtype=p.dtype, device=p.device)
        low = torch.linalg.cholesky(p)
        inside = torch.linalg.solve(
            low, transpose(torch.linalg.solve(low, symmetric(gradients[0])))
        )
        middle = torch.linalg.cholesky(symmetric(transpose(low) @ best @ low))
        solved = coupling.lyapunov(middle, inside)
        at_q = symmetric(low @ solved @ transpose(low))
        return _summed(-best @ at_q @ best, p), _summed(at_q, q)


def _summed(gradient: Any, like: Any) -> Any:
    """What belongs to an argument that was broadcast."""
    return gradient.sum_to_size(like.shape)
