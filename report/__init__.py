"""Results to tables, figures and one page. Reads run directories, corpora and caches; trains and tests nothing itself."""

from mer.report.comparison_table import comparison_table as comparison_table
from mer.report.errors import ReportError as ReportError
from mer.report.latex_text import latex_table as latex_table
from mer.report.layer_chart import layer_chart as layer_chart
from mer.report.pair import compared_pair as compared_pair
from mer.report.pair import make_pair as make_pair
from mer.report.pair import pair_report as pair_report
from mer.report.progress import Bar as Bar
from mer.report.reported_run import ReportedRun as ReportedRun
from mer.report.reported_run import find_runs as find_runs
from mer.report.reported_run import read_run as read_run
from mer.report.results_report import results_report as results_report
from mer.report.run_group import RunGroup as RunGroup
from mer.report.run_group import group_runs as group_runs
from mer.report.score_table import score_table as score_table
from mer.report.table_text import csv_table as csv_table
from mer.report.table_text import markdown_table as markdown_table
from mer.report.tables import cache_table as cache_table
from mer.report.tables import doctor_report as doctor_report
from mer.report.tables import extraction_lines as extraction_lines
from mer.report.tables import verify_lines as verify_lines
from mer.report.tables import whole_lines as whole_lines
from mer.report.terminal_table import terminal_table as terminal_table
