"""Local attention at the cost of its window, O(T·W) instead of O(T·S).

A score compares any queries with any keys, so it is given the keys near each query and no others. Where windows move
in step with the query (`banded`) they are slices that overlap. Where each query says where it looks, few queries have
their keys picked out (`gathered`), and many are sorted by where they look, so that neighbours share a slice (`grouped`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import embedding, pad

from regard.attention.scopes import LocalPredictive, Window

Compare = Callable[[Tensor, Tensor], Tensor]
Rows = Callable[[Tensor, Tensor], Tensor]  # scores and where they may be seen, to weights

BLOCK = 32  # queries that share a slice of keys, at least: smaller products are slower than the work they save


def banded(
    compare: Compare,
    rows: Rows,
    window: Window,
    q: Float[Tensor, "... T Dq"],
    k: Float[Tensor, "... S Dk"],
    v: Float[Tensor, "... S Dv"],
    mask: Bool[Tensor, "... 1 S"] | None,
    start: int,
) -> Float[Tensor, "... T Dv"]:
    """Attention within `window`. Blocks of queries look at the slice of keys that any of them can see."""
    queries, keys = q.shape[-2], k.shape[-2]
    size = max(1, min(queries, max(window.left, window.right, BLOCK)))
    blocks = -(-queries // size)
    span = size + window.left + window.right
    first = start - window.left  # the key at the head of the first slice, if there is one
    last = first + _reach(blocks, span, size)

    def slices(x: Tensor) -> Tensor:
        """[..., S, D] to [..., blocks, span, D], zeros where there is no key."""
        inside = x[..., max(first, 0) : max(last, 0), :]
        before = min(max(-first, 0), last - first)
        whole = pad(inside, (0, 0, before, last - first - before - inside.shape[-2]))
        return _overlapping(whole, blocks, span, size)

    place = torch.arange(span, device=q.device)
    ahead = place - torch.arange(size, device=q.device)[:, None]
    position = first + torch.arange(blocks, device=q.device)[:, None] * size + place
    seen = (ahead >= 0) & (ahead < window.width) & ((position >= 0) & (position < keys))[:, None, :]
    if mask is not None:
        seen = seen & slices(mask.transpose(-1, -2)).transpose(-1, -2)
    asking = pad(q, (0, 0, 0, blocks * size - queries)).unflatten(-2, (blocks, size))
    weights = rows(compare(asking, slices(k)), seen)
    return (weights.to(v.dtype) @ slices(v)).flatten(-3, -2)[..., :queries, :]


def gathered(
    compare: Compare,
    rows: Rows,
    scope: LocalPredictive,
    q: Float[Tensor, "... T Dq"],
    k: Float[Tensor, "... S Dk"],
    v: Float[Tensor, "... S Dv"],
    mask: Bool[Tensor, "... 1 S"] | None,
    drop: Callable[[Tensor], Tensor],
) -> Float[Tensor, "... T Dv"]:
    """Attention around the position that each query predicts. `drop` is the dropout of weights."""
    keys = k.shape[-2]
    center = scope.center(q, keys if mask is None else mask.sum(dim=-1))[..., None]  # [..., T, 1]
    first = (center.detach() - scope.window).ceil().long()
    place = first + torch.arange(scope.width, device=q.device)  # [..., T, W]
    seen = scope.within(center.detach(), place) & (place >= 0) & (place < keys)
    place = place.clamp(0, keys - 1)
    if mask is not None:
        everywhere = mask.expand(*place.shape[:-1], keys)
        seen = seen & everywhere.gather(-1, place)
    scores = compare(q[..., None, :], _picked(k, place))[..., 0, :]
    weights = drop(scope.weigh(rows(scores, seen), center, place)).to(v.dtype)
    return (weights[..., None, :] @ _picked(v, place))[..., 0, :]


def grouped(
    compare: Compare,
    rows: Rows,
    scope: LocalPredictive,
    q: Float[Tensor, "... T Dq"],
    k: Float[Tensor, "... S Dk"],
    v: Float[Tensor, "... S Dv"],
    mask: Bool[Tensor, "... 1 S"] | None,
    drop: Callable[[Tensor], Tensor],
) -> Float[Tensor, "... T Dv"]:
    """The same for many queries. Keys are cut into blocks; the queries whose windows begin in a block of a source sit
    together, BLOCK at most, before one slice of keys, so there are at most T/BLOCK + S/BLOCK slices a source however
    the queries crowd."""
    lead, queries, keys = q.shape[:-2], q.shape[-2], k.shape[-2]
    center = scope.center(q, keys if mask is None else mask.sum(dim=-1)).expand(*lead, queries)
    span, blocks = BLOCK + scope.width - 1, -(-keys // BLOCK)
    first = (center.detach() - scope.window).ceil().long().clamp(0, keys - 1)
    sources = k.shape[:-2].numel()
    source = torch.arange(sources, device=q.device).view(*k.shape[:-2], 1).expand(*lead, queries)
    group = (source * blocks + first // BLOCK).reshape(-1)
    seat, home = _seats(group, sources * blocks)
    filled = torch.zeros(len(home) * BLOCK, dtype=torch.bool, device=q.device)
    filled[seat] = True

    def slices(x: Tensor) -> Tensor:
        """[..., S, D] to [slices, span, D], zeros beyond the end."""
        whole = pad(x.reshape(sources, keys, -1), (0, 0, 0, _reach(blocks, span, BLOCK) - keys))
        each = _overlapping(whole, blocks, span, BLOCK).flatten(0, 1)
        return embedding(home, each.flatten(1)).unflatten(1, (span, -1)) if each.is_floating_point() else each[home]

    def seated(x: Tensor) -> Tensor:
        """[queries, D] to [slices, BLOCK, D]."""
        empty = x.new_zeros(len(home) * BLOCK, x.shape[-1])
        return empty.index_copy(0, seat, x).unflatten(0, (-1, BLOCK))

    asking = seated(q.reshape(-1, q.shape[-1]))
    around = seated(center.reshape(-1, 1))
    place = (home % blocks * BLOCK)[:, None, None] + torch.arange(span, device=q.device)
    seen = scope.within(around.detach(), place) & (place < keys) & filled.view(-1, BLOCK, 1)
    if mask is not None:
        everywhere = mask.expand(*k.shape[:-2], 1, keys).reshape(sources, keys, 1)
        seen = seen & slices(everywhere).transpose(-1, -2)
    weights = drop(scope.weigh(rows(compare(asking, slices(k)), seen), around, place))
    context = weights.to(v.dtype) @ slices(v)
    return context.flatten(0, 1)[seat].view(*lead, queries, -1)


def _reach(blocks: int, span: int, size: int) -> int:
    """How many keys `_overlapping` is given."""
    return span if blocks == 1 else (blocks - 1 + -(-span // size)) * size


def _overlapping(x: Float[Tensor, "... N D"], blocks: int, span: int, size: int) -> Float[Tensor, "... blocks span D"]:
    """The slices of `span` rows that begin `size` apart. Neighbours are joined: `unfold` would copy nothing here, but its
    backward adds up number by number, and products of what it gives copy it after all."""
    if blocks == 1:
        return x[..., None, :, :]
    cut = x.unflatten(-2, (-1, size))
    pieces = [cut[..., i : i + blocks, : span - i * size, :] for i in range(-(-span // size))]
    return torch.cat(pieces, dim=-2)


def _seats(group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """A seat for each query and the group of each table of BLOCK seats: those of one group sit at tables of their own."""
    count = torch.bincount(group, minlength=groups)
    tables = -(-count // BLOCK)
    home = torch.repeat_interleave(torch.arange(groups, device=group.device), tables)
    order = group.argsort(stable=True)
    rank = torch.empty_like(order)
    before = count.cumsum(0) - count
    rank[order] = torch.arange(len(group), device=group.device) - before[group[order]]
    return (tables.cumsum(0) - tables)[group] * BLOCK + rank, home


def _picked(x: Float[Tensor, "... S D"], place: Tensor) -> Float[Tensor, "... T W D"]:
    """The rows of x at those places. The leading dimensions of x may be 1 where those of `place` are more."""
    lead, (size, features) = x.shape[:-2], x.shape[-2:]
    source = torch.arange(lead.numel(), device=x.device).view(*lead, 1, 1)
    # As a lookup in one table: its backward adds rows up far faster than that of indexing does.
    return embedding(source * size + place, x.reshape(-1, features))
