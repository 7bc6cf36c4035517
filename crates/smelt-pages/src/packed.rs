//! Numbers as Parquet packs them (runs of one number, and numbers of a few bits each), read at ascending places.

use crate::{Damage, Result};

/// Numbers of so many bits each.
#[derive(Debug, Clone)]
pub(crate) struct Packed<'a> {
    bytes: &'a [u8],
    width: u32,
    /// The numbers' places in the run at hand.
    from: usize,
    to: usize,
    run: Run<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Run<'a> {
    Same(u32),
    Each(&'a [u8]),
}

impl<'a> Packed<'a> {
    pub(crate) fn new(bytes: &'a [u8], width: u32) -> Result<Self> {
        if width > 32 {
            return Err(Damage::Header);
        }
        Ok(Self { bytes, width, from: 0, to: 0, run: Run::Same(0) })
    }

    fn next_run(&mut self) -> Result<()> {
        let (mut head, mut at) = (0_u64, 0);
        for shift in (0..35).step_by(7) {
            let byte = *self.bytes.get(at).ok_or(Damage::Short)?;
            head |= u64::from(byte & 0x7f) << shift;
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (count, bytes) = if head & 1 == 0 {
            ((head >> 1) as usize, self.width.div_ceil(8) as usize)
        } else {
            let groups = (head >> 1) as usize;
            (groups * 8, groups * self.width as usize)
        };
        // The last run may be cut off behind its last number.
        let rest = &self.bytes[at..];
        if count == 0 || (head & 1 == 0 && rest.len() < bytes) {
            return Err(Damage::Short);
        }
        let (run, rest) = rest.split_at(bytes.min(rest.len()));
        self.run = if head & 1 == 0 {
            let number = run.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
            Run::Same(number)
        } else {
            Run::Each(run)
        };
        (self.bytes, self.from, self.to) = (rest, self.to, self.to + count);
        Ok(())
    }

    /// The number at a place that is not before the last one that was asked for.
    #[inline]
    pub(crate) fn at(&mut self, place: usize) -> Result<u32> {
        while place >= self.to {
            self.next_run()?;
        }
        match self.run {
            Run::Same(number) => Ok(number),
            Run::Each(bytes) => bits(bytes, (place - self.from) * self.width as usize, self.width),
        }
    }
}

/// So many bits from a place on, the lowest first.
#[inline]
fn bits(bytes: &[u8], from: usize, width: u32) -> Result<u32> {
    let (first, shift) = (from / 8, from % 8);
    let number = match bytes.get(first..first + 8) {
        Some(eight) => eight.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        None => {
            let rest = bytes.get(first..).unwrap_or_default();
            if rest.len() * 8 < shift + width as usize {
                return Err(Damage::Short);
            }
            rest.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
        }
    };
    Ok((number >> shift & ((1 << width) - 1)) as u32)
}

/// Which of a page's rows have a value, and how many before them have one.
#[derive(Debug, Clone)]
pub(crate) struct Levels<'a> {
    packed: Packed<'a>,
    /// Rows before that were looked at, and values among them.
    row: usize,
    values: usize,
}

impl<'a> Levels<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        Ok(Self { packed: Packed::new(bytes, 1)?, row: 0, values: 0 })
    }

    /// The place of a row's value among the page's values, if it has one; rows in ascending order.
    #[inline]
    pub(crate) fn value(&mut self, row: usize) -> Result<Option<usize>> {
        while row >= self.packed.to {
            let to = self.packed.to;
            self.pass(to)?;
            self.packed.next_run()?;
        }
        self.pass(row)?;
        Ok((self.packed.at(row)? == 1).then_some(self.values))
    }

    /// Counts the values up to a row of the run at hand, or behind it.
    fn pass(&mut self, row: usize) -> Result<()> {
        match self.packed.run {
            Run::Same(0) => {}
            Run::Same(_) => self.values += row - self.row,
            Run::Each(bytes) => {
                let (mut bit, to) = (self.row - self.packed.from, row - self.packed.from);
                if to > bytes.len() * 8 {
                    return Err(Damage::Short);
                }
                while bit < to && bit % 8 != 0 {
                    self.values += usize::from(bytes[bit / 8] >> (bit % 8) & 1);
                    bit += 1;
                }
                while bit + 8 <= to {
                    self.values += bytes[bit / 8].count_ones() as usize;
                    bit += 8;
                }
                if bit < to {
                    self.values += (bytes[bit / 8] & ((1 << (to - bit)) - 1)).count_ones() as usize;
                }
            }
        }
        self.row = row;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three runs: five times one number, eight numbers of three bits, and a cut one.
    #[test]
    fn numbers_are_found_in_runs_and_in_bits() {
        let bytes = [5 << 1, 6, 1 << 1 | 1, 0b1000_1000, 0b1100_0110, 0b1111_1010, 1 << 1 | 1, 0b0001_0011];
        let mut packed = Packed::new(&bytes, 3).unwrap();
        let found: Vec<u32> = (0..15).map(|place| packed.at(place).unwrap()).collect();
        assert_eq!(found, [6, 6, 6, 6, 6, 0, 1, 2, 3, 4, 5, 6, 7, 3, 2]);
        assert_eq!(packed.at(16), Err(Damage::Short));
        assert_eq!(Packed::new(&bytes, 3).unwrap().at(99), Err(Damage::Short));
    }

    #[test]
    fn values_before_a_row_are_counted() {
        // Ten rows with a value, sixteen with and without, five without.
        let bytes = [10 << 1, 1, 2 << 1 | 1, 0b0101_0101, 0b1000_0001, 5 << 1, 0];
        let all: Vec<bool> = [true; 10]
            .into_iter()
            .chain((0..16).map(|bit| 0b1000_0001_0101_0101_u32 >> bit & 1 == 1))
            .chain([false; 5])
            .collect();
        for step in 1..all.len() {
            let mut levels = Levels::new(&bytes).unwrap();
            for row in (step - 1..all.len()).step_by(step) {
                let before = all[..row].iter().filter(|there| **there).count();
                assert_eq!(levels.value(row), Ok(all[row].then_some(before)), "row {row}, step {step}");
            }
        }
    }
}
