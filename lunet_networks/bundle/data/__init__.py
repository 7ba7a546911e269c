"""The cases of a run: listing, checking, reading, resampling, normalising and caching them, and sharing them out among
processes.
"""

from lunet_networks.bundle.data.augmentation import RandAffined, RandCropByPosNegLabeld
from lunet_networks.bundle.data.checks import check_data
from lunet_networks.bundle.data.datalist import load_datalist
from lunet_networks.bundle.data.intensity import NormalizeChannelsd
from lunet_networks.bundle.data.labels import count_outputs, label_values
from lunet_networks.bundle.data.loaders import PrefetchDataLoader
from lunet_networks.bundle.data.picture_files import GreyToColourd
from lunet_networks.bundle.data.readers import LoadImaged
from lunet_networks.bundle.data.resampling import Spacingd
from lunet_networks.bundle.data.seeding import EpochSeed, SeededCacheDataset
from lunet_networks.bundle.data.sharding import SharedCacheDataset

__all__ = [
    "EpochSeed",
    "GreyToColourd",
    "LoadImaged",
    "NormalizeChannelsd",
    "PrefetchDataLoader",
    "RandAffined",
    "RandCropByPosNegLabeld",
    "SeededCacheDataset",
    "SharedCacheDataset",
    "Spacingd",
    "check_data",
    "count_outputs",
    "label_values",
    "load_datalist",
]
