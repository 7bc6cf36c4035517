//! An answer as aligned columns, or one line a column where they do not fit: for people.
//!
//! The first rows decide the widths, so that rows stream in bounded memory; on a terminal long values
//! are cut and long answers end early, and the last line says so. Control characters are shown as
//! escapes, so that no value can talk to the terminal.

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{
    Answer, Spelling,
    output::{Stop, columns},
};

/// What a table is written on.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The terminal's width in columns; `None` where it is no terminal and nothing is cut.
    pub width: Option<usize>,
    /// The most rows to show; `None` shows all.
    pub rows: Option<usize>,
    pub layout: Layout,
}

/// How rows lie on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Columns where they fit, else records.
    Fit,
    /// Columns always.
    Columns,
    /// One line a column, and a rule between rows.
    Records,
}

impl Page {
    /// A page without edges: everything is shown, in columns.
    pub const ENDLESS: Self = Self { width: None, rows: None, layout: Layout::Columns };
}

/// The rows that decide the widths.
const SAMPLE: usize = 500;
/// A column that must be cut keeps so much.
const NARROWEST: usize = 8;
const NULL: &str = "NULL";

/// Writes the answer; `false` where rows were left out.
pub(super) async fn write(
    answer: &mut Answer,
    page: Page,
    sink: &mut (dyn Write + Send),
    rows: &mut u64,
) -> Result<bool, Stop> {
    let limit = page.rows.unwrap_or(usize::MAX);
    let mut sample: Vec<Vec<String>> = Vec::new();
    let mut more = true;
    while sample.len() < SAMPLE.min(limit.saturating_add(1)) {
        let Some(batch) = answer.next().await else {
            more = false;
            break;
        };
        cells(&batch?, &mut sample)?;
    }
    let fields = answer.schema.fields();
    let names = fields.iter().map(|field| printable(field.name())).collect();
    let right = fields.iter().map(|field| field.data_type().is_numeric()).collect();
    let table = Table::new(names, right, page, &sample);
    let mut out = String::new();
    table.head(&mut out);
    let mut left_out = false;
    loop {
        for row in sample.drain(..) {
            left_out = *rows as usize == limit;
            if left_out {
                break;
            }
            *rows += 1;
            table.row(*rows, &row, &mut out);
        }
        sink.write_all(out.as_bytes())?;
        out.clear();
        if left_out || !more {
            break;
        }
        match answer.next().await {
            None => more = false,
            Some(batch) => cells(&batch?, &mut sample)?,
        }
    }
    let count = *rows;
    let unit = if count == 1 { "row" } else { "rows" };
    if left_out {
        out.push_str(&format!(
            "(the first {count} {unit}; there are more: add a LIMIT, or write them to a file with -o)\n"
        ));
    } else {
        out.push_str(&format!("({count} {unit})\n"));
    }
    sink.write_all(out.as_bytes())?;
    sink.flush()?;
    Ok(!left_out)
}

/// Lists that are no answers, such as the shell's own, as a table of texts.
pub fn lines(names: &[&str], rows: &[Vec<String>], page: Page) -> String {
    let table = Table::new(names.iter().map(|name| (*name).to_owned()).collect(), vec![false; names.len()], page, rows);
    let mut out = String::new();
    table.head(&mut out);
    for (number, row) in (1..).zip(rows) {
        table.row(number, row, &mut out);
    }
    out
}

fn cells(batch: &RecordBatch, rows: &mut Vec<Vec<String>>) -> Result<(), Stop> {
    let columns = columns(batch, Spelling::Plain)?;
    for row in 0..batch.num_rows() {
        let mut cells = Vec::with_capacity(columns.len());
        for column in &columns {
            let mut text = String::new();
            cells.push(if column.write(row, &mut text)? { printable(&text) } else { NULL.to_owned() });
        }
        rows.push(cells);
    }
    Ok(())
}

/// The text without anything a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, character| {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
        out
    })
}

struct Table {
    names: Vec<String>,
    widths: Vec<usize>,
    /// Numbers stand to the right.
    right: Vec<bool>,
    records: bool,
    page: Page,
}

impl Table {
    fn new(names: Vec<String>, right: Vec<bool>, page: Page, sample: &[Vec<String>]) -> Self {
        let mut widths: Vec<usize> = names.iter().map(|name| name.width()).collect();
        for row in sample {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let fits = page.width.is_none_or(|available| shrink(&mut widths, available));
        let records = match page.layout {
            Layout::Records => true,
            Layout::Columns => false,
            Layout::Fit => !fits,
        };
        Self { names, widths, right, records, page }
    }

    fn head(&self, out: &mut String) {
        if self.records {
            return;
        }
        self.line(&self.names, false, out);
        let rules: Vec<String> = self.widths.iter().map(|width| "-".repeat(width + 2)).collect();
        out.push_str(&rules.join("+"));
        out.push('\n');
    }

    fn row(&self, number: u64, cells: &[String], out: &mut String) {
        if !self.records {
            self.line(cells, true, out);
            return;
        }
        out.push_str(&format!("-[ record {number} ]-\n"));
        let name_width = self.names.iter().map(|name| name.width()).max().unwrap_or_default();
        let room = self.page.width.map(|width| width.saturating_sub(name_width + 3).max(NARROWEST));
        for (name, cell) in self.names.iter().zip(cells) {
            pad(name, name_width, false, out);
            out.push_str(" | ");
            match room {
                Some(room) => out.push_str(&cut(cell, room)),
                None => out.push_str(cell),
            }
            out.push('\n');
        }
    }

    fn line(&self, cells: &[String], values: bool, out: &mut String) {
        for (position, cell) in cells.iter().enumerate() {
            out.push_str(if position == 0 { " " } else { " | " });
            let width = self.widths[position];
            let cell = if self.page.width.is_some() { cut(cell, width) } else { cell.clone() };
            let last = position + 1 == cells.len();
            if last && !(values && self.right[position]) {
                out.push_str(&cell);
            } else {
                pad(&cell, width, values && self.right[position], out);
            }
        }
        out.push('\n');
    }
}

/// Takes width from the widest columns until the line fits; `false` where it cannot.
fn shrink(widths: &mut [usize], available: usize) -> bool {
    let line = |widths: &[usize]| widths.iter().sum::<usize>() + 3 * widths.len();
    while line(widths) > available {
        let Some(widest) = widths.iter_mut().max() else { return true };
        if *widest <= NARROWEST {
            return false;
        }
        *widest -= 1;
    }
    true
}

fn pad(text: &str, width: usize, right: bool, out: &mut String) {
    let blanks = width.saturating_sub(text.width());
    if right {
        out.extend(std::iter::repeat_n(' ', blanks));
    }
    out.push_str(text);
    if !right {
        out.extend(std::iter::repeat_n(' ', blanks));
    }
}

/// The text in at most so many columns, with `…` where some of it is left out.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let mut kept: String = text
        .chars()
        .take_while(|character| {
            used += character.width().unwrap_or_default();
            used <= width
        })
        .collect();
    kept.push('…');
    kept
}
