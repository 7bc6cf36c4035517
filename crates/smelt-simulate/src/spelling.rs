//! How values are written: usually plainly, sometimes in one of the odd ways that cleaning must
//! see through. No spelling changes what a value means.

use std::borrow::Cow;

use crate::calendar::Micros;
use crate::dice::Dice;
use crate::row::{Cell, Times};
use crate::timestamps;

/// The white space that cleaning removes.
const WHITE_SPACE: &[char] = &[' ', '\t', '\r', '\n', '\x0c', '\x0b'];

const NULLS: &[&str] = &["", "null", "NULL", "N/A", "n/a", "\\N", " ", "\t", " NULL "];
const TRUE: &[&str] = &["true", "t", "yes", "y", "1", "TRUE", "T", "Yes", "Y"];
const FALSE: &[&str] = &["false", "f", "no", "n", "0", "FALSE", "F", "No", "N"];
const CURRENCY_SIGNS: &[char] = &['$', '€', '£', '¥'];

/// Writes values, and throws the dice for each.
#[derive(Debug)]
pub(crate) struct Speller {
    pub(crate) dice: Dice,
    pub(crate) messy: f64,
    pub(crate) times: Times,
}

impl Speller {
    fn oddly(&mut self) -> bool {
        self.dice.chance(self.messy)
    }

    pub(crate) fn null(&mut self) -> Cell {
        if !self.oddly() {
            return Cell::Null;
        }
        match self.dice.below(3) {
            0 => Cell::Absent,
            _ => Cell::Text(self.dice.pick(NULLS).into()),
        }
    }

    /// A business key: in any case, with white space around and inside it.
    pub(crate) fn key(&mut self, mut key: String) -> Cell {
        if self.oddly() {
            match self.dice.below(3) {
                0 => key.make_ascii_lowercase(),
                1 => key = self.padded(&key),
                _ => {
                    let place = 1 + self.dice.index(key.len() - 1);
                    key.insert(place, self.dice.pick(WHITE_SPACE));
                }
            }
        }
        Cell::Text(key.into())
    }

    pub(crate) fn email(&mut self, email: String) -> Cell {
        if !self.oddly() {
            return Cell::Text(email.into());
        }
        let text = match self.dice.below(3) {
            0 => email.to_ascii_uppercase(),
            1 => capitalised(&email, '.'),
            _ => self.padded(&email),
        };
        Cell::Text(text.into())
    }

    pub(crate) fn code(&mut self, code: Option<&'static str>) -> Cell {
        let Some(code) = code else {
            return self.null();
        };
        if !self.oddly() {
            return Cell::Text(code.into());
        }
        let text = match self.dice.below(3) {
            0 => code.to_ascii_lowercase(),
            1 => capitalised(&code.to_ascii_lowercase(), ' '),
            _ => self.padded(code),
        };
        Cell::Text(text.into())
    }

    /// A status or method: aliases, spaces and hyphens instead of `_`, any case.
    pub(crate) fn status(&mut self, status: Option<&'static str>) -> Cell {
        let Some(status) = status else {
            return self.null();
        };
        if !self.oddly() {
            return Cell::Text(status.into());
        }
        let alias = match status {
            "cancelled" => "canceled",
            "completed" => "complete",
            "shipped" => "in_transit",
            other => other,
        };
        let alias = if self.dice.chance(0.6) { alias } else { status };
        let text = match self.dice.below(5) {
            0 => alias.replace('_', " "),
            1 => alias.replace('_', "-"),
            2 => capitalised(&alias.replace('_', " "), ' '),
            3 => alias.to_ascii_uppercase(),
            _ => self.padded(alias),
        };
        Cell::Text(text.into())
    }

    /// An amount in cents.
    pub(crate) fn money(&mut self, cents: Option<i64>) -> Cell {
        let Some(cents) = cents else {
            return self.null();
        };
        let (whole, rest) = (cents / 100, cents % 100);
        if !self.oddly() {
            return Cell::Number(format!("{whole}.{rest:02}"));
        }
        let sign = self.dice.pick(CURRENCY_SIGNS);
        let text = match self.dice.below(13) {
            0 => format!("{sign}{}.{rest:02}", grouped(whole)),
            1 => format!("{sign} {whole}.{rest:02}"),
            2 => format!("{}.{rest:02}", grouped(whole)),
            // Without needless digits: `.5`, `5.`, `12`.
            3 | 4 => match (whole, rest) {
                (0, 1..) => format!(".{rest:02}").trim_end_matches('0').to_owned(),
                (_, 0) if self.dice.chance(0.5) => format!("{whole}."),
                (_, 0) => whole.to_string(),
                _ => format!("{whole}.{rest:02}").trim_end_matches('0').to_owned(),
            },
            5 => format!("+{whole}.{rest:02}"),
            6 => format!("00{whole}.{rest:02}"),
            7 => format!("{sign}+{whole}.{rest:02}"),
            // More digits, to be rounded; a trifle below zero rounds to zero.
            8 if cents == 0 => "-0.004".to_owned(),
            8 => return Cell::Number(format!("{whole}.{rest:02}4")),
            9 if cents > 0 => {
                let (whole, rest) = ((cents * 10 - 5) / 1_000, (cents * 10 - 5) % 1_000);
                return Cell::Number(format!("{whole}.{rest:03}"));
            }
            10 => return Cell::Number(format!("{whole}.{rest:02}00")),
            11 => self.padded(&format!("{whole}.{rest:02}")),
            _ => format!("{whole}.{rest:02}"),
        };
        Cell::Text(text.into())
    }

    pub(crate) fn count(&mut self, count: i64) -> Cell {
        if !self.oddly() {
            return Cell::Number(count.to_string());
        }
        let text = match self.dice.below(4) {
            0 => format!("00{count}"),
            1 => format!("+{count}"),
            2 => self.padded(&count.to_string()),
            _ => count.to_string(),
        };
        Cell::Text(text.into())
    }

    pub(crate) fn flag(&mut self, flag: Option<bool>) -> Cell {
        let Some(flag) = flag else {
            return self.null();
        };
        if !self.oddly() {
            return Cell::Flag(flag);
        }
        let text = self.dice.pick(if flag { TRUE } else { FALSE });
        match self.dice.below(5) {
            0 => Cell::Number(u8::from(flag).to_string()),
            1 => Cell::Text(self.padded(text).into()),
            _ => Cell::Text(text.into()),
        }
    }

    pub(crate) fn time(&mut self, time: Option<Micros>) -> Cell {
        let Some(time) = time else {
            return self.null();
        };
        if self.times != Times::Text {
            return Cell::Time(time);
        }
        if !self.oddly() {
            return Cell::Text(timestamps::usual(time).into());
        }
        let text = timestamps::unusual(time, &mut self.dice);
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        match self.dice.below(5) {
            0 => Cell::Text(self.padded(&text).into()),
            1..=3 if is_number => Cell::Number(text),
            _ => Cell::Text(text.into()),
        }
    }

    /// A text, which may have white space around it or, if all digits, come as a number.
    pub(crate) fn text(&mut self, text: Option<Cow<'static, str>>) -> Cell {
        let Some(text) = text else {
            return self.null();
        };
        if !self.oddly() {
            return Cell::Text(text);
        }
        let is_number = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && self.dice.chance(0.5) {
            return Cell::Number(text.into_owned());
        }
        Cell::Text(self.padded(&text).into())
    }

    /// What the record is: `i` or `c` for a row's first record, `u` for a later one, often left
    /// out, or `d`.
    pub(crate) fn operation(&mut self, deleted: bool, first: bool) -> Cell {
        let letter = match (deleted, first) {
            (true, _) => "d",
            (false, true) => self.dice.pick(&["i", "c"]),
            (false, false) => "u",
        };
        let oddly = self.oddly();
        if !deleted && self.dice.chance(0.7) {
            return match self.dice.below(4) {
                0 if oddly => Cell::Null,
                1 | 2 if oddly => Cell::Text(self.dice.pick(&["", " ", "\t\n"]).into()),
                _ => Cell::Absent,
            };
        }
        if !oddly {
            return Cell::Text(letter.into());
        }
        let text = match self.dice.below(2) {
            0 => letter.to_ascii_uppercase(),
            _ => self.padded(letter),
        };
        Cell::Text(text.into())
    }

    fn padded(&mut self, text: &str) -> String {
        let mut padded = String::with_capacity(text.len() + 4);
        for _ in 0..self.dice.below(3) {
            padded.push(self.dice.pick(WHITE_SPACE));
        }
        padded.push_str(text);
        for _ in 0..=self.dice.below(2) {
            padded.push(self.dice.pick(WHITE_SPACE));
        }
        padded
    }
}

/// With commas between thousands.
fn grouped(whole: i64) -> String {
    let digits = whole.to_string();
    let mut text = String::with_capacity(digits.len() + 4);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With a capital at the beginning and after each separator.
fn capitalised(text: &str, separator: char) -> String {
    let mut previous = separator;
    text.chars()
        .map(|letter| {
            let capital = previous == separator;
            previous = letter;
            if capital { letter.to_ascii_uppercase() } else { letter }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_and_words_capitalised() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(capitalised("in transit", ' '), "In Transit");
        assert_eq!(capitalised("zoë.ünal@x.org", '.'), "Zoë.ünal@x.Org");
    }
}
