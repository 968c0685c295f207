"""The embedder that is coming, beside the one in use, in a running reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import manifest
from appliance.drivers.tflite import load_model
from appliance.pipeline.embedding import Embedder
from appliance.records import Actor, ActorKind
from appliance.upgrade import plan as plans
from appliance.upgrade.lazy import LazyUpgrade

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from appliance.commands.options import Installation
    from appliance.people.gallery import Gallery
    from appliance.people.recorded import EventSink
    from appliance.records import Embedding


def lazy_upgrade(installation: Installation, gallery: Gallery, audit: EventSink) -> LazyUpgrade | None:
    """Return what takes templates at the door; None where the settings do not say so, or no upgrade is going on.

    Raises StorageError for a plan, ModelError for a model, that cannot be read.
    """
    settings = installation.settings
    plan = plans.load(installation) if settings.recognition.upgrade == "lazy" else None
    if plan is None:
        return None
    coming = manifest.embedder_of(plans.with_embedder(settings, plan.embedder).recognition, installation.models_folder)
    in_use = manifest.embedder(settings.recognition, installation.models_folder)
    impostors = coming.entry.measured.door
    if impostors is None or coming.entry.model_id == in_use.model_id:
        return None
    embedder, protection = Embedder(load_model(*coming)), gallery.protection

    def embed(crop: NDArray[np.uint8]) -> Embedding | None:
        made = embedder.embed(crop)
        return None if made is None else protection.protect(made)

    return LazyUpgrade(
        gallery,
        audit,
        embed,
        impostors,
        min_bona_fide=settings.liveness.min_bona_fide,
        actor=Actor(ActorKind.DEVICE, settings.device.id),
    )
