//! Tables: columns as wide as what they hold, rows that are broken between sheets only where one is longer than a sheet, and the first row again
//! at the top of each sheet. A table with more columns than fit, or with a cell that is longer than a line may be, is given as lines of text.

use super::PdfError;
use super::blocks::{LINE_BYTES_MAX, Rich, Style};
use super::layout::{Column, Layout, Look, PALE, THIN};
use super::lines::{Line, broken};
use super::shape::Shaped;

/// Around what a cell holds, in points.
const PADDING: f32 = 4.0;
/// Least width of a column, in points.
const WIDTH_MIN: f32 = 40.0;
/// Share of a sheet that the first row may take to be repeated.
const HEAD_SHARE: f32 = 0.25;

/// A row that was broken into lines.
struct Row {
    /// The cells with their lines.
    cells: Vec<(Shaped, Vec<Line>)>,
    lines: usize,
}

impl Layout<'_> {
    pub(super) fn table(&mut self, rows: &[Vec<Rich>], look: Look, column: &Column) -> Result<(), PdfError> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        if columns == 0 {
            return Ok(());
        }
        let is_wide = column.width() < columns as f32 * WIDTH_MIN;
        if is_wide || rows.iter().flatten().any(|cell| cell.text.len() > LINE_BYTES_MAX) {
            return rows.iter().try_for_each(|row| self.text(&joined(row), look, column));
        }
        let mut natural = vec![WIDTH_MIN; columns];
        let mut shaped: Vec<Vec<Shaped>> = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let cells = row.iter().map(|cell| if at == 0 { cell.clone().bold() } else { cell.clone() });
            let cells: Vec<Shaped> = cells.map(|cell| self.shaped(&cell)).collect::<Result<_, _>>()?;
            for (cell, natural) in cells.iter().zip(&mut natural) {
                let width: f32 = cell.clusters.iter().map(|cluster| cluster.advance).sum();
                // Rounding must not break a line that is as wide as its column.
                *natural = natural.max(width * look.size + 2.0 * PADDING + 1.0);
            }
            shaped.push(cells);
        }
        let widths = widths(&natural, column.width());
        let row = |cells: Vec<Shaped>| -> Row {
            let lines = |(cell, width): (Shaped, &f32)| {
                let lines = broken(&cell, look.wrap, (width - 2.0 * PADDING) / look.size);
                (cell, lines)
            };
            let cells: Vec<(Shaped, Vec<Line>)> = cells.into_iter().zip(&widths).map(lines).collect();
            let lines = cells.iter().map(|(_, lines)| lines.len()).max().unwrap_or(1);
            Row { cells, lines }
        };
        let mut rows = shaped.into_iter().map(row);
        let Some(head) = rows.next() else { return Ok(()) };
        let is_repeated = height(&head, look) <= HEAD_SHARE * self.frame_height();
        self.row(&head, None, look, column, &widths)?;
        for row in rows {
            self.row(&row, Some(&head).filter(|_| is_repeated), look, column, &widths)?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        row: &Row,
        head: Option<&Row>,
        look: Look,
        column: &Column,
        widths: &[f32],
    ) -> Result<(), PdfError> {
        let is_long = height(row, look) > self.frame_height() * (1.0 - HEAD_SHARE);
        if self.need(if is_long { 2.0 * look.height() } else { height(row, look) })?
            && let Some(head) = head
        {
            self.lines(head, look, column, widths)?;
        }
        self.lines(row, look, column, widths)
    }

    fn lines(&mut self, row: &Row, look: Look, column: &Column, widths: &[f32]) -> Result<(), PdfError> {
        self.area(column.left, widths.iter().sum(), THIN, PALE);
        self.advance(PADDING / 2.0);
        for at in 0..row.lines {
            self.need(look.height())?;
            let mut left = column.left;
            for ((cell, lines), width) in row.cells.iter().zip(widths) {
                if let Some(line) = lines.get(at) {
                    let inner = Column { left: left + PADDING, right: left + width - PADDING, bars: Vec::new() };
                    self.line(cell, line, look, &inner);
                }
                left += width;
            }
            self.advance(look.height());
        }
        self.advance(PADDING / 2.0);
        self.area(column.left, widths.iter().sum(), THIN, PALE);
        Ok(())
    }
}

fn height(row: &Row, look: Look) -> f32 {
    row.lines as f32 * look.height() + PADDING
}

/// Widths of columns: as much as each wants where that fits, else the wide ones share what the narrow ones leave.
fn widths(natural: &[f32], available: f32) -> Vec<f32> {
    let mut widths = natural.to_vec();
    let mut by_width: Vec<usize> = (0..natural.len()).collect();
    by_width.sort_by(|one, other| natural[*one].total_cmp(&natural[*other]));
    let mut left = available;
    for (at, column) in by_width.iter().enumerate() {
        let share = left / (natural.len() - at) as f32;
        widths[*column] = natural[*column].min(share);
        left -= widths[*column];
    }
    widths
}

/// A row as text.
fn joined(row: &[Rich]) -> Rich {
    let mut text = Rich::default();
    for (at, cell) in row.iter().enumerate() {
        if at > 0 {
            text.push(" | ", Style::default());
        }
        let mut start = 0;
        for (end, style) in &cell.spans {
            text.push(&cell.text[start..*end], *style);
            start = *end;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::widths;

    #[test]
    fn columns_are_as_wide_as_they_want_and_share_what_is_left() {
        assert_eq!(widths(&[40.0, 60.0], 300.0), [40.0, 60.0]);
        assert_eq!(widths(&[400.0, 50.0, 900.0], 300.0), [125.0, 50.0, 125.0]);
    }
}
