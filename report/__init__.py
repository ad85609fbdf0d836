"""Plain results to tables and progress bars. Knows dictionaries only: what is printed is what `--json` gives."""

from mer.report.progress import Bar as Bar
from mer.report.tables import cache_table as cache_table
from mer.report.tables import doctor_report as doctor_report
from mer.report.tables import extraction_lines as extraction_lines
from mer.report.tables import results_report as results_report
from mer.report.tables import verify_lines as verify_lines
