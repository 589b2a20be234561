"""The bar chart of the average scores: one horizontal bar to a row, tall enough for every name."""

from openpyxl.chart import BarChart, Reference
from openpyxl.chart.data_source import AxDataSource, StrRef
from openpyxl.chart.label import DataLabelList
from openpyxl.chart.title import title_maker
from openpyxl.worksheet.worksheet import Worksheet

_BAR_CM = 0.5
_FRAME_CM = 3.0


def score_chart(sheet: Worksheet, *, n_rows: int, unit_scale: bool) -> BarChart:
    """A chart of column B of the sheet by the names in column A, rows 2 to n_rows + 1, the first at the top.

    `unit_scale` fixes the scale to 0..1, so that charts of several runs can be compared.
    """
    chart = BarChart()
    chart.type = "bar"
    chart.style = 10
    chart.title = title_maker("Average Score")
    chart.title.overlay = False
    chart.legend = None
    chart.gapWidth = 40
    chart.width = 24
    chart.height = _FRAME_CM + _BAR_CM * n_rows
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=n_rows + 1), titles_from_data=True)
    names_at = StrRef(f=str(Reference(sheet, min_col=1, min_row=2, max_row=n_rows + 1)))
    chart.series[0].cat = AxDataSource(strRef=names_at)
    chart.dataLabels = DataLabelList(
        numFmt="0.000",
        showVal=True,
        showSerName=False,
        showCatName=False,
        showLegendKey=False,
        showPercent=False,
        showBubbleSize=False,
    )
    names, scores = chart.x_axis, chart.y_axis
    names.delete = scores.delete = False  # openpyxl leaves it open, and Excel then draws no axis
    names.scaling.orientation = "maxMin"  # row 2 at the top; the scale goes to the top with it
    names.tickLblSkip = 1  # no name is left out
    names.tickLblPos = "low"  # beside the plot, also with negative scores
    scores.number_format = "0.0"
    scores.numFmt.sourceLinked = False
    if unit_scale:
        scores.scaling.min, scores.scaling.max, scores.majorUnit = 0, 1, 0.1
    return chart
