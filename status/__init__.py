"""How far a run is, from its artefacts alone, and what is missing before a long one (`doctor/`). Changes nothing.

Artefacts are caches, run directories, grids and folders of TextGrids.
"""

from mer.status.errors import StatusError as StatusError
from mer.status.overview import Overview as Overview
from mer.status.overview import StatusReader as StatusReader
from mer.status.view import status_view as status_view
