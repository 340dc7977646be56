//! Tables for a terminal, plain enough to be read from a file too.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

/// Nothing but a line below the titles.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table of text columns, those whose title begins with `#` aligned right as numbers are.
pub(crate) fn table(titles: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(titles.iter().map(|title| title.trim_start_matches('#')));
    for (index, title) in titles.iter().enumerate() {
        if let (true, Some(column)) = (title.starts_with('#'), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The table as lines without spaces at their ends, each with its line break.
pub(crate) fn text(table: &Table) -> String {
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_right() {
        let mut table = table(&["day", "#clicks"]);
        table.add_row(["a", "1"]).add_row(["bb", "1,000"]);
        let text = text(&table);
        assert!(text.contains("day   clicks\n"), "{text}");
        assert!(text.contains("a          1\n"), "{text}");
        assert!(text.contains("bb     1,000\n"), "{text}");
    }
}
