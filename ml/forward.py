"""The network of ml/network.py in plain NumPy: the reference for parity and for the bench."""

import numpy as np
import numpy.typing as npt

from ml.events import Events

Array = npt.NDArray[np.float32]
MARGIN = np.float32(1e-6)
STORY_SCALE, MOST_STORY = np.float32(0.25), np.float32(3)
BLOCK = 4_096


def forward(weights: dict[str, Array], x: Array, events: Events | None = None) -> dict[str, Array]:
    """Return `default`, `repaid_share`, `repay_time` (n,), `offer` (n, 3) for x: (n, n_features), NaN if missing.

    events: (n, 128, 4), or (1, 128, 4) for rows of one applicant; None where nothing has happened.
    """
    code = encode(weights, np.asarray(x, dtype=np.float32))
    logits = np.stack([logits_of(weights, net, code) for net in range(len(weights["wide/bias"]))])
    return answers(weights, logits + added_by(weights, events)[:, :, None])


def added_by(weights: dict[str, Array], events: Events | None) -> Array:
    """Return what events (n or 1, 128, 4) add to each logit of each net (g, n or 1, LOGITS), 0 without any."""
    if events is None or "story/kernel" not in weights:
        return np.zeros((len(weights["wide/bias"]), 1, weights["wide/bias"].shape[1]), np.float32)
    return story(weights, events)


def answers(weights: dict[str, Array], logits: Array) -> dict[str, Array]:
    """Return what `forward` does for what all members say: (g, n, k, LOGITS), g nets."""
    p = np.clip(sigmoid(logits[..., 0]).mean(axis=(0, 2)), MARGIN, 1 - MARGIN)
    log_odds = np.log(p) - np.log1p(-p)
    return {
        "default": sigmoid(log_odds * weights["calibrate/slope"] + weights["calibrate/intercept"]),
        "repaid_share": sigmoid(logits[..., 1]).mean(axis=(0, 2)),
        "offer": softmax(logits[..., 2:5]).mean(axis=(0, 2)),
        "repay_time": sigmoid(logits[..., 5]).mean(axis=(0, 2)),
    }


def scores(weights: dict[str, Array], x: Array, events: Events | None = None) -> Array:
    """Return the chance of default (n,), in blocks so that memory stays bounded; x and events as in `forward`."""
    shared = events is None or (len(events) == 1 and len(x) != 1)
    blocks = []
    for at in range(0, len(x), BLOCK):
        rows = slice(at, at + BLOCK)
        blocks.append(forward(weights, x[rows], events if shared or events is None else events[rows])["default"])
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def story(weights: dict[str, Array], events: Events) -> Array:
    """Return what the events (n, L, 4) add to each logit of each net: (g, n, LOGITS)."""
    row, place = np.nonzero(events[..., 0])
    happened = events[row, place]
    kind = happened[:, 0].astype(np.intp) - 1
    numbers = np.column_stack([happened[:, 1:].astype(np.float32) / 255, np.ones(len(row), np.float32)])
    kernel, out = weights["story/kernel"][:, kind], weights["story/out"][:, kind]
    added = np.maximum(np.einsum("ec,gecs->ges", numbers, kernel), 0)
    each = np.einsum("ges,gesl->gel", added, out) * STORY_SCALE
    total = np.zeros((len(each), len(events), each.shape[-1]), np.float32)
    if len(row):
        firsts = np.flatnonzero(np.diff(row, prepend=-1))
        total[:, row[firsts]] = np.add.reduceat(each, firsts, axis=1)
    return MOST_STORY * np.tanh(total / MOST_STORY)


def logits_of(weights: dict[str, Array], net: int, code: Array) -> Array:
    """Return what the members of one net say: (n, k, LOGITS)."""
    flat = code.reshape(len(code), code.shape[1] * code.shape[2])
    wide = flat @ weights["wide/curves"][net].reshape(flat.shape[1], -1) + weights["wide/bias"][net]
    # One matrix product per feature: several times faster than einsum.
    deep = np.matmul(code.transpose(1, 0, 2), weights["embed/curves"][net]).transpose(1, 0, 2)
    return above(weights, net, wide, deep.reshape(len(code), deep.shape[1] * deep.shape[2]))


def above(weights: dict[str, Array], net: int, wide: Array, deep: Array) -> Array:
    """Return what `logits_of` does for what the features add: wide (n, LOGITS), and deep (n, f * embedding)."""
    deep = deep[:, None, :]
    for name in ("hidden_1", "hidden_2"):
        deep = members(weights, name, net, deep)
    heads = np.matmul(deep.transpose(1, 0, 2), weights["heads/kernel"][net]).transpose(1, 0, 2)
    return np.asarray(heads + wide[:, None, :])


def encode(weights: dict[str, Array], x: Array) -> Array:
    """Return (n, f, bins + 2): positions in the training quantiles, the normal score, the mark of missing."""
    missing = np.isnan(x)
    known = np.where(missing, np.float32(0), x)[..., None]
    position = np.clip((known - weights["encode/low"]) * weights["encode/scale"], 0, 1)
    score = weights["encode/score_start"] + (position * weights["encode/score_step"]).sum(axis=-1)
    code = np.concatenate([position, score[..., None]], axis=-1)
    code = np.where(missing[..., None], weights["encode/missing_code"], code)
    return np.concatenate([code, (missing * weights["encode/missing_seen"])[..., None]], axis=-1)


def members(weights: dict[str, Array], name: str, net: int, x: Array) -> Array:
    """Return one BatchEnsemble layer of a net after its ReLU: (n, k or 1, n_in) -> (n, k, n_out)."""
    scale_in, kernel, scale_out, bias = (
        weights[f"{name}/{part}"][net] for part in ("scale_in", "kernel", "scale_out", "bias")
    )
    scaled = x * scale_in
    # One matrix product for all: NumPy would make one of each row.
    y = (scaled.reshape(-1, scaled.shape[-1]) @ kernel).reshape(*scaled.shape[:-1], kernel.shape[1])
    return np.maximum(y * scale_out + bias, 0)


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + e^-z) without overflow at either end."""
    return (0.5 * (1 + np.tanh(0.5 * z))).astype(np.float32)


def softmax(z: Array) -> Array:
    """Return shares that sum to 1 over the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
