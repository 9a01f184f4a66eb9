"""Posteriors of pixels, differentiated through the fixed visual front end once and not for every latent again.

The front end's cells see one filtered frame each and are summed up in a few components. What components owe to the
frames therefore is one matrix a frame, however many latents at however many frames are read from them; what lies before
it is linear, and what lies behind it a small network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from nwb_mivae.attribution.cost import Cost, encoding_cost
from nwb_mivae.attribution.score import FisherMaps, Linearised, fisher, in_groups, linearise
from nwb_mivae.attribution.windowed import windowed_jacobian
from nwb_mivae.model import Gaussian
from nwb_mivae.model.stimulus_encoder import FrontEndStimulusEncoder, StimulusPosterior

if TYPE_CHECKING:
    from nwb_mivae.clips.batch import ClipBatch
    from nwb_mivae.model import MiVAEModule
    from nwb_mivae.model.visual_front_end import VisualFrontEnd

__all__ = ["exact_fisher_of_pixels", "linearise_pixels", "pixels_cost"]

#: Components, and frames, that are differentiated together: so many that what they take stays small.
_COMPONENTS_AT_ONCE, _FRAMES_AT_ONCE = 32, 16


def linearise_pixels(
    module: MiVAEModule,
    batch: ClipBatch,
    *,
    latents: Literal["shared", "private"] = "shared",
    numbers: list[int] | None = None,
) -> Linearised:
    """Stimulus latents as a function of pixels ``(B, T, H, W)``; of any design of the stimulus encoder.

    What :func:`~nwb_mivae.attribution.score.linearise` returns, to rounding. Where there is a front end, it takes as
    long as differentiating some forty latents does; each vector-Jacobian product is then several times cheaper.

    Parameters
    ----------
    module : MiVAEModule
        In evaluation mode; call this under ``torch.no_grad``.
    batch : ClipBatch
        B clips of T frames of H x W pixels.
    latents : {"shared", "private"}
        The K latents that are attributed.
    numbers : list of int, optional
        Only these of them.
    """
    luminance = batch.stimulus[:, :, 0]
    encoder = module.stimulus_encoder
    if not isinstance(encoder, FrontEndStimulusEncoder):

        def encode(values: Tensor) -> Gaussian:
            return _of(module.encode_stimulus(values[:, :, None]), latents, numbers)

        return linearise(encode, luminance)
    front_end = encoder.front_end

    def read(summary: Tensor) -> Gaussian:
        return _of(encoder.posterior(front_end.features_of(summary)), latents, numbers)

    outputs = torch.func.vjp(lambda values: _images(front_end, values[:, :, None]), luminance)
    seen, pull_back_images = outputs[0], outputs[1]
    summary, jacobian = _components(front_end, seen)
    read_out = linearise(read, summary)

    def pull_back(cotangents: tuple[Tensor, Tensor]) -> Tensor:
        to_summary = read_out.pull_back(cotangents).permute(1, 2, 0, 3).flatten(0, 1)
        to_images = (to_summary @ jacobian).transpose(0, 1).reshape(-1, *seen.shape)
        gradients: Tensor = torch.func.vmap(pull_back_images)(to_images)[0]
        return gradients

    return Linearised(luminance, read_out.posterior, pull_back)


def exact_fisher_of_pixels(
    module: MiVAEModule,
    batch: ClipBatch,
    *,
    latents: Literal["shared", "private"] = "shared",
    memory: float = 1024.0,
) -> FisherMaps:
    """Exact Fisher score of the stimulus latents with respect to pixels; of any design of the stimulus encoder.

    Where the front end averages luminance over areas that do not overlap, all pixels of an area have the same score,
    which is computed once.

    Parameters
    ----------
    module, batch, latents
        As for :func:`linearise_pixels`.
    memory : float
        Mebibytes that may be used at once, about; it changes no figure.

    Returns
    -------
    FisherMaps
        ``per_probe`` (1, B, T, H, W) and ``per_latent`` (K, H, W).
    """
    cost, encoder = pixels_cost(module, batch), module.stimulus_encoder
    if not isinstance(encoder, FrontEndStimulusEncoder):
        linearised = linearise_pixels(module, batch, latents=latents)
        vectors = cost.vectors_at_once(batch.n_clips, memory)
        return fisher(linearised, probes=None, vectors_at_once=vectors)
    front_end, vectors = encoder.front_end, cost.vectors_at_once(1, memory)
    contrast = front_end.contrast(batch.stimulus)
    down, right = (whole / few for whole, few in zip(batch.stimulus.shape[-2:], contrast.shape[-2:], strict=True))
    apart = down.is_integer() and right.is_integer()
    maps = []
    for clip in range(batch.n_clips):
        if apart:
            source, images = contrast[clip : clip + 1], lambda values: torch.stack(front_end.images(values), dim=2)
        else:
            source, images = batch.stimulus[clip : clip + 1], lambda values: _images(front_end, values)
        maps.append(_exact_of_a_clip(encoder, source, images, latents, vectors))
    squares = FisherMaps(
        torch.cat([of.per_probe for of in maps], dim=1), torch.stack([of.per_latent for of in maps]).sum(0)
    )
    if not apart:
        return squares
    return FisherMaps(*(_spread(each, int(down), int(right)) for each in (squares.per_probe, squares.per_latent)))


def pixels_cost(module: MiVAEModule, batch: ClipBatch, *, probes: int | None = None) -> Cost:
    """What :func:`linearise_pixels` of the shared latents takes in memory, as :func:`encoding_cost` counts it.

    With a front end, the derivatives of components are kept for each clip, and a vector takes four tensors as large as
    a clip's images, beside its gradient with two copies of it.
    """
    luminance, encoder = batch.stimulus[:1, :, 0], module.stimulus_encoder
    if not isinstance(encoder, FrontEndStimulusEncoder):
        return encoding_cost(lambda values: module.encode_stimulus(values[:, :, None]).shared, luminance, probes=probes)
    front_end = encoder.front_end
    images = front_end.images(front_end.contrast(batch.stimulus[:1]))
    summary = front_end.summarise(front_end.responses(batch.stimulus[:1]))
    of_images = sum(image.nbytes for image in images)
    behind = encoding_cost(lambda values: encoder.posterior(front_end.features_of(values)).shared, summary)
    jacobian = of_images * summary.shape[-1]
    maps = luminance.nbytes * ((probes or 1) + 2)
    return Cost(behind.per_clip + jacobian + maps, behind.per_vector + 4 * of_images + 3 * luminance.nbytes)


def _exact_of_a_clip(
    encoder: FrontEndStimulusEncoder,
    source: Tensor,
    images: Callable[[Tensor], Tensor],
    latents: Literal["shared", "private"],
    vectors_at_once: int,
) -> FisherMaps:
    """Of one clip, with respect to a source ``(1, T, 1, rows, columns)`` of which the images are a linear function."""
    front_end, reach = encoder.front_end, encoder.trunk.reach
    outputs = torch.func.vjp(images, source)
    seen, pull_back_images = outputs[0], outputs[1]
    summary, jacobian = _components(front_end, seen)
    outputs = torch.func.vjp(front_end.features_of, summary)
    features, pull_back_features = outputs[0], outputs[1]
    behind = windowed_jacobian(
        lambda values: _of(encoder.posterior(values), latents), features, reach, vectors_at_once=vectors_at_once
    )[0]
    n_frames, _, n_rows, n_features = behind.shape
    squares = source.new_zeros(n_frames, *source.shape[3:])
    per_row = source.new_zeros(n_rows, *source.shape[3:])
    for frame in range(n_frames):
        first, last = max(frame - reach, 0), min(frame + reach, n_frames - 1)
        of_frame = torch.stack([behind[at, frame - at + reach] for at in range(first, last + 1)], dim=1)
        for rows in in_groups(n_rows, vectors_at_once):
            to_features = source.new_zeros(len(rows), 1, n_frames, n_features)
            to_features[:, 0, first : last + 1] = of_frame[rows[0] : rows[-1] + 1]
            (to_summary,) = torch.func.vmap(pull_back_features)(to_features)
            # Only the frames that these latents look at: the others are exactly zero.
            looked_at = to_summary.ne(0).any(3).any(0)[0].nonzero()
            used = slice(int(looked_at.min()), int(looked_at.max()) + 1) if len(looked_at) else slice(0, 0)
            to_images = source.new_zeros(len(rows), *seen.shape)
            products = to_summary[:, 0, used].transpose(0, 1) @ jacobian[used]
            to_images[:, 0, used] = products.transpose(0, 1).reshape(len(rows), -1, *seen.shape[2:])
            (gradients,) = torch.func.vmap(pull_back_images)(to_images)
            of_rows = gradients[:, 0, :, 0].square_()
            squares += of_rows.sum(0)
            per_row[rows] += of_rows.sum(1)
    return FisherMaps(squares[None, None], per_row.reshape(2, -1, *source.shape[3:]).sum(0))


def _images(front_end: VisualFrontEnd, clips: Tensor) -> Tensor:
    """What both kinds of cells see of clips: ``(B, T, kinds, 1, rows, columns)``."""
    return torch.stack(front_end.images(front_end.contrast(clips)), dim=2)


def _components(front_end: VisualFrontEnd, images: Tensor) -> tuple[Tensor, Tensor]:
    """Components ``(B, T, M)`` of images ``(B, T, kinds, 1, rows, columns)``, and their derivatives.

    Those are ``(B * T, M, kinds * rows * columns)``. Filters are linear, so that what they make of single pixels is
    their derivative; only what follows them is differentiated, and that once, since it is the same for all frames.
    """
    shape = images.shape[3:]
    single = torch.eye(shape.numel(), dtype=images.dtype, device=images.device).reshape(-1, *shape)
    from_filtered = [each.flatten(1).T for each in front_end.filtered(single)]
    of_kinds = front_end.components.chunk(images.shape[2])
    n_components = front_end.components.shape[1]
    frames = images.flatten(0, 1)
    jacobian = images.new_zeros(len(frames), n_components, images.shape[2], shape.numel())
    all_responses = []
    for at in (slice(some[0], some[-1] + 1) for some in in_groups(len(frames), _FRAMES_AT_ONCE)):
        responses = []
        for kind, components in enumerate(of_kinds):
            outputs = torch.func.vjp(front_end.responses_of, *front_end.filtered(frames[at, kind]))
            responses.append(outputs[0])
            for some in in_groups(n_components, _COMPONENTS_AT_ONCE):
                cotangents = components.T[some][:, None].expand(-1, *outputs[0].shape)
                to_linear, to_light = torch.func.vmap(outputs[1])(cotangents)
                part = to_linear.flatten(2) @ from_filtered[0] + to_light.flatten(2) @ from_filtered[1]
                jacobian[at, some[0] : some[-1] + 1, kind] = part.transpose(0, 1)
        all_responses.append(torch.cat(responses, dim=1))
    summary = front_end.summarise(torch.cat(all_responses)).reshape(*images.shape[:2], -1)
    return summary, jacobian.flatten(2)


def _spread(squares: Tensor, down: int, right: int) -> Tensor:
    """Squared derivatives by the mean of an area to those by each pixel of it."""
    return (squares / (down * right) ** 2).repeat_interleave(down, dim=-2).repeat_interleave(right, dim=-1)


def _of(
    posterior: StimulusPosterior, latents: Literal["shared", "private"], numbers: list[int] | None = None
) -> Gaussian:
    block = posterior.shared if latents == "shared" else posterior.private
    return block if numbers is None else Gaussian(*(each[..., numbers] for each in block))
