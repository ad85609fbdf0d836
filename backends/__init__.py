"""Where tasks are done: in this process, in several, on a Slurm cluster, on Ray. Knows nothing of emotions."""

from mer.backends.backend import Backend as Backend
from mer.backends.local import LocalBackend as LocalBackend
from mer.backends.share import own_share as own_share
from mer.backends.work import BackendError as BackendError
from mer.backends.work import Notice as Notice
from mer.backends.work import Slot as Slot
from mer.backends.work import Task as Task
from mer.backends.work import TaskDone as TaskDone
from mer.backends.work import TaskFailed as TaskFailed
from mer.backends.work import Work as Work
from mer.backends.work import WorkerLost as WorkerLost
