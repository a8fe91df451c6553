//! The only place that writes to the terminal: tables to standard output, progress to standard error.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks here and nowhere else"
)]

/// A line of result.
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// A line of progress or trouble.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints rows under a head, columns aligned: the first to the left, numbers to the right. The shape is Markdown's,
/// so that a table can be pasted into a note.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) {
    say(&render(head, rows));
}

fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|text| (*text).to_owned()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("| {} |", cells.collect::<Vec<String>>().join(" | "))
    };
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(column, width)| {
            if column == 0 { "-".repeat(*width) } else { format!("{}:", "-".repeat(width.saturating_sub(1))) }
        })
        .collect();
    let lines: Vec<String> = [&head, &rule].into_iter().chain(rows).map(line).collect();
    lines.join("\n")
}

/// A number with as many digits as its size is worth.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A number that may be absent.
pub(crate) fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_markdown() {
        let rows = vec![vec!["short".to_owned(), "12.5".to_owned()], vec!["x".to_owned(), "7".to_owned()]];
        let expected = "| what  |  ms/1 |\n| ----- | ----: |\n| short |  12.5 |\n| x     |     7 |";
        assert_eq!(render(&["what", " ms/1"], &rows), expected);
    }

    #[test]
    fn numbers_keep_the_digits_they_are_worth() {
        assert_eq!([number(1234.5), number(12.34), number(1.234)], ["1234", "12.3", "1.23"]);
    }
}
