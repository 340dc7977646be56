//! The table and the JSON.

use comfy_table::{Table, presets};

use crate::figure::{Arm, Figure, median};

/// The figures as a table.
pub(crate) fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "bar",
        "what",
        "ours",
        "reference",
        "median",
        "min-max",
        "floor",
        "goal",
        "verdict",
    ]);
    for figure in figures {
        let (least, most) = figure.range();
        table.add_row([
            figure.bar.to_string(),
            figure.name.clone(),
            middle(&figure.ours, figure.unit),
            middle(&figure.reference, figure.unit),
            format!("{:.3}", figure.median()),
            format!("{least:.3}-{most:.3}"),
            figure.floor.to_string(),
            figure.goal.to_string(),
            verdict(figure).to_owned(),
        ]);
    }
    table
}

fn middle(arms: &[Arm], unit: &str) -> String {
    if arms.is_empty() {
        return String::new();
    }
    let value = median(arms.iter().map(|arm| arm.value));
    if value >= 1_000.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.3} {unit}")
    }
}

fn verdict(figure: &Figure) -> &'static str {
    if figure.goal.holds(figure.median()) {
        "goal"
    } else if figure.floor.holds(figure.median()) {
        "floor"
    } else {
        "MISSED"
    }
}

/// Whether every figure reaches its floor.
pub(crate) fn all_floors_hold(figures: &[Figure]) -> bool {
    figures
        .iter()
        .all(|figure| figure.floor.holds(figure.median()))
}
