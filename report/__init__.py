"""Plain results to tables and progress bars. Knows dictionaries only: what is printed is what `--json` gives."""

from mer.report.comparison_table import comparison_table as comparison_table
from mer.report.comparison_table import paper_columns as paper_columns
from mer.report.layer_chart import layer_chart as layer_chart
from mer.report.progress import Bar as Bar
from mer.report.tables import cache_table as cache_table
from mer.report.tables import doctor_report as doctor_report
from mer.report.tables import extraction_lines as extraction_lines
from mer.report.tables import results_report as results_report
from mer.report.tables import verify_lines as verify_lines
