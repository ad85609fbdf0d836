"""The feature cache: activations of frozen encoders in checked, immutable HDF5 shards.

It knows no model and no corpus. `build_shard` and `CacheFolder` write, `open_cache` reads without copies,
`verify` and `cache_info` report; `docs/cache-format.md` is the specification.
"""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.cache.cache_error import CacheError as CacheError
    from mer.cache.cache_error import UnknownUtteranceError as UnknownUtteranceError
    from mer.cache.cache_info import cache_info as cache_info
    from mer.cache.cache_set import CacheSet as CacheSet
    from mer.cache.cache_set import open_features as open_features
    from mer.cache.cached_utterance import CachedUtterance as CachedUtterance
    from mer.cache.feature_cache import FeatureCache as FeatureCache
    from mer.cache.feature_cache import open_cache as open_cache
    from mer.cache.folder import CacheFolder as CacheFolder
    from mer.cache.granularity import GRANULARITIES as GRANULARITIES
    from mer.cache.granularity import SEGMENT_GRANULARITIES as SEGMENT_GRANULARITIES
    from mer.cache.last_layer import OutdatedCacheError as OutdatedCacheError
    from mer.cache.last_layer import check_numbers as check_numbers
    from mer.cache.last_layer import doubt as doubt
    from mer.cache.packed_units import PackedUnits as PackedUnits
    from mer.cache.plan import Plan as Plan
    from mer.cache.plan import PlannedShard as PlannedShard
    from mer.cache.plan import SessionPlan as SessionPlan
    from mer.cache.plan import is_done as is_done
    from mer.cache.records import FailedUtterance as FailedUtterance
    from mer.cache.records import Units as Units
    from mer.cache.records import UtteranceRecord as UtteranceRecord
    from mer.cache.shard_image import BuiltShard as BuiltShard
    from mer.cache.shard_image import build_shard as build_shard
    from mer.cache.shard_image import to_storage as to_storage
    from mer.cache.sidecar import Sidecar as Sidecar
    from mer.cache.spec import FORMAT_VERSION as FORMAT_VERSION
    from mer.cache.spec import cache_key as cache_key
    from mer.cache.utterance_mapping import UtteranceMapping as UtteranceMapping
    from mer.cache.utterance_table import UtteranceTable as UtteranceTable
    from mer.cache.verified import VerifiedShards as VerifiedShards
    from mer.cache.verify import Finding as Finding
    from mer.cache.verify import VerifyReport as VerifyReport
    from mer.cache.verify import verify as verify
else:
    __getattr__ = lazy(__name__)
