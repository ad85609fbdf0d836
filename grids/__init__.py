"""Tables of rows, each a head on cached features or a model that is fine-tuned; the presets are tables of the papers.

`read_grid` reads one, `run_grid` trains its rows as `HeadTasks` or `FinetuneTasks` say.
"""

from typing import TYPE_CHECKING

from mer.settings.lazy import lazy

if TYPE_CHECKING:
    from mer.grids.finetune_tasks import FinetuneTasks as FinetuneTasks
    from mer.grids.grid import Grid as Grid
    from mer.grids.grid import GridError as GridError
    from mer.grids.grid import GridRow as GridRow
    from mer.grids.grid_file import preset_names as preset_names
    from mer.grids.grid_file import read_grid as read_grid
    from mer.grids.grid_table import GridResult as GridResult
    from mer.grids.head_tasks import HeadTasks as HeadTasks
    from mer.grids.run_grid import run_grid as run_grid
else:
    __getattr__ = lazy(__name__)
