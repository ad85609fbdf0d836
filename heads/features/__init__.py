"""From the cache to the units that a step reads, as float16 and without copies where they lie in memory.

`Features` is what a cache has to offer. `FeatureStore.open` gives a `FeatureSource` per granularity: in memory, on the device,
or streamed; its `reads` of a `Step` say which runs use which units. `Statistics` are the means and deviations that normalise
them.
"""
