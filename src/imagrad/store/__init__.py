"""Saliency of a whole data set: a Zarr store that is filled block by block, and what its maps have in common."""

from imagrad.store.job import DataSource, StoreSettings
from imagrad.store.reading import Store, open_store
from imagrad.store.running import Ways, explain_dataset

__all__ = ["DataSource", "Store", "StoreSettings", "Ways", "explain_dataset", "open_store"]
