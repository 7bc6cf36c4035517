//! A page's values by the number of their row.

use crate::{
    Damage, Result,
    header::{Header, Kind, PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY},
    packed::{Levels, Packed},
    values::Width,
};

/// The values that pages refer to.
#[derive(Debug)]
pub(crate) struct Dictionary<'b> {
    bytes: &'b [u8],
    width: Width,
    count: usize,
    /// Where each text begins, behind its length, and where it ends.
    texts: Vec<(u32, u32)>,
}

impl<'b> Dictionary<'b> {
    pub(crate) fn new(page: &'b [u8], width: Width) -> Result<Self> {
        let header = Header::read(page)?;
        if header.kind != Kind::Dictionary || !matches!(header.encoding, PLAIN | PLAIN_DICTIONARY) {
            return Err(Damage::Header);
        }
        let bytes = body(page, &header)?;
        let count = header.values;
        let mut texts = Vec::new();
        match width {
            Width::Fixed(each) if count.checked_mul(each).is_some_and(|all| all <= bytes.len()) => {}
            Width::Fixed(_) | Width::Bit => return Err(Damage::Short),
            Width::Text => {
                let mut at = 0;
                texts.reserve(count.min(bytes.len() / 4));
                for _ in 0..count {
                    let (from, to) = text(bytes, at)?;
                    texts.push((from as u32, to as u32));
                    at = to;
                }
            }
        }
        Ok(Self { bytes, width, count, texts })
    }

    #[inline]
    fn value(&self, place: usize) -> Result<&[u8]> {
        if place >= self.count {
            return Err(Damage::NoSuchEntry);
        }
        Ok(match self.width {
            Width::Fixed(each) => &self.bytes[place * each..(place + 1) * each],
            Width::Text | Width::Bit => {
                let (from, to) = self.texts[place];
                &self.bytes[from as usize..to as usize]
            }
        })
    }
}

/// A data page; its rows are looked at in ascending order.
#[derive(Debug)]
pub(crate) struct Page<'b> {
    body: &'b [u8],
    /// Where the values begin.
    values: usize,
    levels: Option<std::ops::Range<usize>>,
    by_dictionary: bool,
    width: Width,
}

/// Looks at a page's rows.
pub(crate) struct Rows<'p> {
    levels: Option<Levels<'p>>,
    values: Found<'p>,
}

enum Found<'p> {
    Fixed(&'p [u8], usize),
    Bits(&'p [u8]),
    /// With the number of a text and where its length is.
    Texts(&'p [u8], usize, usize),
    Entries(Packed<'p>, &'p Dictionary<'p>),
}

/// A value where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'p> {
    Bytes(&'p [u8]),
    Bit(bool),
}

impl<'b> Page<'b> {
    /// A page of so many rows.
    pub(crate) fn new(page: &'b [u8], rows: usize, may_be_null: bool, width: Width) -> Result<Self> {
        let header = Header::read(page)?;
        if header.kind != Kind::Data || header.values != rows {
            return Err(Damage::Header);
        }
        let body = body(page, &header)?;
        let (mut levels, mut values) = (None, 0);
        if may_be_null {
            let length: [u8; 4] = *body.first_chunk().ok_or(Damage::Short)?;
            values = 4 + u32::from_le_bytes(length) as usize;
            if values > body.len() {
                return Err(Damage::Short);
            }
            levels = Some(4..values);
        }
        let by_dictionary = match header.encoding {
            PLAIN => false,
            PLAIN_DICTIONARY | RLE_DICTIONARY => true,
            _ => return Err(Damage::Header),
        };
        Ok(Self { body, values, levels, by_dictionary, width })
    }

    pub(crate) fn rows<'p>(&'p self, dictionary: Option<&'p Dictionary<'p>>) -> Result<Rows<'p>> {
        let levels = self.levels.clone().map(|levels| Levels::new(&self.body[levels])).transpose()?;
        let values = &self.body[self.values..];
        let values = if self.by_dictionary {
            let dictionary = dictionary.ok_or(Damage::NoSuchEntry)?;
            // Without any value there is not even the width.
            let (width, packed) = values.split_first().unwrap_or((&0, &[]));
            Found::Entries(Packed::new(packed, u32::from(*width))?, dictionary)
        } else {
            match self.width {
                Width::Fixed(each) => Found::Fixed(values, each),
                Width::Bit => Found::Bits(values),
                Width::Text => Found::Texts(values, 0, 0),
            }
        };
        Ok(Rows { levels, values })
    }
}

impl<'p> Rows<'p> {
    /// A row's value; none where it is NULL.
    #[inline]
    pub(crate) fn value(&mut self, row: usize) -> Result<Option<Value<'p>>> {
        let place = match &mut self.levels {
            Some(levels) => match levels.value(row)? {
                Some(place) => place,
                None => return Ok(None),
            },
            None => row,
        };
        match &mut self.values {
            Found::Fixed(bytes, each) => {
                let value = bytes.get(place * *each..(place + 1) * *each).ok_or(Damage::Short)?;
                Ok(Some(Value::Bytes(value)))
            }
            Found::Bits(bytes) => {
                let byte = bytes.get(place / 8).ok_or(Damage::Short)?;
                Ok(Some(Value::Bit(byte >> (place % 8) & 1 == 1)))
            }
            Found::Texts(bytes, number, at) => {
                while *number < place {
                    *at = text(bytes, *at)?.1;
                    *number += 1;
                }
                let (from, to) = text(bytes, *at)?;
                Ok(Some(Value::Bytes(&bytes[from..to])))
            }
            Found::Entries(packed, dictionary) => {
                let dictionary: &'p Dictionary<'p> = dictionary;
                dictionary.value(packed.at(place)? as usize).map(|value| Some(Value::Bytes(value)))
            }
        }
    }
}

/// What follows a page's header.
fn body<'b>(page: &'b [u8], header: &Header) -> Result<&'b [u8]> {
    let end = header.bytes.checked_add(header.body).ok_or(Damage::Short)?;
    page.get(header.bytes..end).ok_or(Damage::Short)
}

/// Where the text is whose length stands at a place.
#[inline]
fn text(bytes: &[u8], at: usize) -> Result<(usize, usize)> {
    let length: [u8; 4] = *bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Damage::Short)?;
    let from = at + 4;
    let to = from + u32::from_le_bytes(length) as usize;
    if to > bytes.len() { Err(Damage::Short) } else { Ok((from, to)) }
}
