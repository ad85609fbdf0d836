"""The shards of one command as tasks, while they are planned."""

from collections.abc import Iterator

from mer.backends import Task, own_share
from mer.cache import CacheFolder
from mer.extract.planning import CorpusShard, Planning
from mer.extract.progress import EventCounter
from mer.extract.workers import ShardToMake


class ShardTasks:
    """A stream of shards to make; of those that it has given only names, rows and marks stay in memory."""

    def __init__(self, planning: Planning, folder: CacheFolder, counter: EventCounter, shard: tuple[int, int] | None) -> None:
        """Nothing is planned before the stream is read.

        Args:
            planning: of the corpus.
            folder: the cache.
            counter: learns what is to be made.
            shard: rank and number of ranks; None makes everything.
        """
        self._planning, self._folder, self._counter, self._shard = planning, folder, counter, shard
        self.planned: dict[str, CorpusShard] = {}
        """All shards of the corpus that were planned so far."""
        self.own: dict[str, CorpusShard] = {}
        """Those of this rank."""
        self.made: dict[str, str | None] = {}
        """Mark of the sidecar that each task of the stream replaces, by name; None where there was none."""

    def __iter__(self) -> Iterator[Task]:
        """Tasks that are not done, of the own share: decided by the whole plan, so that ranks may start when they like."""
        for shard in self._planning.to_do(self._own_share()):
            self.made[shard.name] = self._folder.mark(shard.name)
            task = self.task(shard)
            self._counter.expect(task.name, len(shard.rows), task.cost)
            yield task

    def task(self, shard: CorpusShard) -> Task:
        """A shard that the stream has given, as a task."""
        content = ShardToMake(utterances=self._planning.utterances(shard), replaces=self.made[shard.name])
        return Task(name=shard.name, cost=sum(self._planning.seconds(shard.rows)), content=content)

    def _own_share(self) -> Iterator[CorpusShard]:
        every = self._planned()
        for task in every if self._shard is None else own_share(every, *self._shard):
            self.own[task.name] = task.content
            yield task.content

    def _planned(self) -> Iterator[Task]:
        for shard in self._planning.shards():
            self.planned[shard.name] = shard
            yield Task(name=shard.name, cost=shard.cost, content=shard)
