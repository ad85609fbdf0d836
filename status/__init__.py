"""How far a run is, from its artefacts alone: caches, run directories, grids, folders of TextGrids. Changes nothing."""

from mer.status.errors import StatusError as StatusError
from mer.status.overview import Overview as Overview
from mer.status.overview import StatusReader as StatusReader
from mer.status.view import status_view as status_view
