"""Figures for papers and for the page: every axis has a unit, and colours are told apart by colour-blind eyes."""

from mer.report.figures.confusion import confusion_figure as confusion_figure
from mer.report.figures.differences import differences_figure as differences_figure
from mer.report.figures.inline_svg import inline_svg as inline_svg
from mer.report.figures.layer_weights import layer_weights_figure as layer_weights_figure
from mer.report.figures.learning_curves import learning_curves_figure as learning_curves_figure
from mer.report.figures.reliability import reliability_figure as reliability_figure
from mer.report.figures.risk_coverage import risk_coverage_figure as risk_coverage_figure
from mer.report.figures.style import png as png
from mer.report.figures.style import svg as svg
from mer.report.figures.style import vector as vector
from mer.report.figures.ua_by_part import ua_by_part_figure as ua_by_part_figure
from mer.report.figures.ua_by_row import ua_by_row_figure as ua_by_row_figure
