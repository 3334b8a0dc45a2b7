"""A trained model on disk: `weights.npz`, `manifest.json`, and the manifest's signature.

The manifest holds the hash of the weights and the signature covers the manifest, so one changed byte anywhere
is refused. Nothing is ever unpickled.
"""

import hashlib
import hmac
import json
import math
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml import features, files

if TYPE_CHECKING:
    from ml.train import Trained

FORMAT = 5
WEIGHTS, MANIFEST, SIGNATURE = "weights.npz", "manifest.json", "manifest.hmac"


class ArtifactRefused(Exception):
    """A model that must not serve: damaged, unsigned, foreign, or made for other features."""


@dataclass(frozen=True)
class Artifact:
    """A model as it is served: facts about it, and its weights by path."""

    manifest: dict[str, Any]
    weights: dict[str, npt.NDArray[np.float32]]

    @property
    def seen_until(self) -> int:
        """Return the latest decision (seconds since 1970 UTC) that the model learnt from."""
        return int(self.manifest["seen_until"])

    @property
    def reference(self) -> npt.NDArray[np.float32]:
        """Return the usual value of each feature (n_features,), NaN where missing is usual."""
        return self.weights["encode/reference"]

    @property
    def sha256(self) -> str:
        """Return the digest of the weights, the model's own name for good."""
        return str(self.manifest["weights_sha256"])


def manifest_of(trained: "Trained", *, weights_sha256: str, commit: str | None) -> dict[str, Any]:
    """Return everything that is known about a trained model, ready for JSON."""
    ours = trained.names == features.NAMES
    return {
        "format": FORMAT,
        "features_version": features.VERSION if ours else None,
        "features": [asdict(f) for f in features.FEATURES] if ours else list(trained.names),
        "network": trained.network,
        "calibration": asdict(trained.calibration),
        "metrics": trained.metrics,
        "answers": trained.answers,
        "plan": asdict(trained.plan),
        "seed": trained.seed,
        "data_sha256": trained.data_sha256,
        "loans": trained.loans,
        "seen_until": trained.seen_until,
        "lineage": asdict(trained.lineage),
        "epochs": trained.epochs,
        "seconds": round(trained.seconds, 1),
        "code_commit": commit,
        "weights_sha256": weights_sha256,
    }


def save(trained: "Trained", directory: Path, *, key: bytes, commit: str | None = None) -> dict[str, Any]:
    """Write the model to a directory that does not exist yet, whole or not at all; return its manifest.

    Raises:
        FileExistsError: a version is never overwritten.
    """
    packed = files.packed(trained.weights)
    digest = hashlib.sha256(packed).hexdigest()
    manifest = manifest_of(trained, weights_sha256=digest, commit=commit)
    # A metric of a part with one outcome only is NaN, which is not JSON.
    text = json.dumps(without_nan(manifest), indent=1, sort_keys=True, allow_nan=False).encode()
    contents = {WEIGHTS: packed, MANIFEST: text, SIGNATURE: sign(text, key).encode()}
    if directory.exists():
        raise FileExistsError(f"{directory.name} is there already; a model version is never overwritten")
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=scratch_prefix(directory), dir=directory.parent))
    try:
        for name, content in contents.items():
            files.write_to_disk(scratch / name, content)
        files.sync(scratch)
        # mkdtemp is private to its owner; the workers may run as another user of the group.
        scratch.chmod(0o750)
        scratch.rename(directory)
        files.sync(directory.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return dict(json.loads(text))


def clear(directory: Path) -> None:
    """Remove a version that nobody names, and what a killed `save` of it left behind. Repeats safely."""
    for left in (directory, *directory.parent.glob(f"{scratch_prefix(directory)}*")):
        shutil.rmtree(left, ignore_errors=True)


def scratch_prefix(directory: Path) -> str:
    """Return how the names begin under which `save` prepares a directory."""
    return f".{directory.name}-"


def load(directory: Path, *, key: bytes, names: tuple[str, ...] = features.NAMES) -> Artifact:
    """Return the model in a directory after checking signature, hash and features, in that order.

    Raises:
        ArtifactRefused: says which check failed; nothing of the file was used.
    """
    text, signature = _read(directory, MANIFEST), _read(directory, SIGNATURE)
    # Bytes, not text: compare_digest refuses text that is not ASCII, and a damaged file may be anything.
    if not hmac.compare_digest(signature, sign(text, key).encode()):
        raise ArtifactRefused(f"{directory.name}: the manifest is not signed by our key")
    manifest = json.loads(text)
    if manifest.get("format") != FORMAT:
        raise ArtifactRefused(f"{directory.name}: format must be {FORMAT}, got {manifest.get('format')}")
    packed = _read(directory, WEIGHTS)
    if hashlib.sha256(packed).hexdigest() != manifest["weights_sha256"]:
        raise ArtifactRefused(f"{directory.name}: the weights are not those that were signed")
    if names == features.NAMES and manifest["features_version"] != features.VERSION:
        made_for = manifest["features_version"]
        raise ArtifactRefused(f"{directory.name}: features must be {features.VERSION}, got {made_for}")
    try:
        weights = files.unpacked(packed)
    except files.NotArrays as error:
        raise ArtifactRefused(f"{directory.name}: the weights are {error}") from error
    return Artifact(manifest=manifest, weights=weights)


def sign(text: bytes, key: bytes) -> str:
    """Return the HMAC-SHA256 of the manifest in hex.

    Raises:
        ValueError: a key under 16 bytes, which somebody forgot to set.
    """
    if len(key) < 16:
        raise ValueError(f"the key must be at least 16 bytes, got {len(key)}")
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _read(directory: Path, name: str) -> bytes:
    try:
        return files.read_plain(directory / name)
    except OSError as error:
        raise ArtifactRefused(f"{directory.name}: {name} cannot be read: {error.strerror}") from error


def without_nan(value: Any) -> Any:
    """Return the same for JSON: None for what is no finite number, lists for tuples."""
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
