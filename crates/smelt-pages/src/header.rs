//! The header of a page, in Thrift's compact protocol: the few of its fields that are needed, all others passed over.

use crate::{Damage, Result};

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of the first version of data pages.
    Data,
    Dictionary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Values, NULLs among them.
    pub(crate) values: usize,
    pub(crate) encoding: i64,
    /// Of the header itself.
    pub(crate) bytes: usize,
    /// Of what follows it.
    pub(crate) body: usize,
}

/// Parquet's numbers of encodings.
pub(crate) const PLAIN: i64 = 0;
pub(crate) const PLAIN_DICTIONARY: i64 = 2;
pub(crate) const RLE: i64 = 3;
pub(crate) const RLE_DICTIONARY: i64 = 8;

/// Fields of `PageHeader`, and of the headers in it.
const TYPE: i64 = 1;
const BODY: i64 = 3;
const DATA: i64 = 5;
const DICTIONARY: i64 = 7;
const VALUES: i64 = 1;
const ENCODING: i64 = 2;
const LEVELS: i64 = 3;

/// Structures in structures that are passed over.
const DEPTH: usize = 8;

impl Header {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let (mut kind, mut body, mut inner) = (None, None, Inner::default());
        let mut field = 0;
        while let Some(of) = reader.field(&mut field)? {
            match (field, of) {
                (TYPE, Type::Integer) => {
                    kind = match reader.integer()? {
                        0 => Some(Kind::Data),
                        2 => Some(Kind::Dictionary),
                        _ => None,
                    };
                }
                (BODY, Type::Integer) => body = Some(reader.integer()?),
                (DATA | DICTIONARY, Type::Struct) => inner = Inner::read(&mut reader)?,
                (_, other) => reader.pass(other, DEPTH)?,
            }
        }
        let size = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok()).ok_or(Damage::Header);
        let kind = kind.ok_or(Damage::Header)?;
        if kind == Kind::Data && inner.levels != Some(RLE) {
            return Err(Damage::Header);
        }
        Ok(Self {
            kind,
            values: size(inner.values)?,
            encoding: inner.encoding.ok_or(Damage::Header)?,
            bytes: reader.at,
            body: size(body)?,
        })
    }
}

#[derive(Default)]
struct Inner {
    values: Option<i64>,
    encoding: Option<i64>,
    levels: Option<i64>,
}

impl Inner {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (mut inner, mut field) = (Self::default(), 0);
        while let Some(of) = reader.field(&mut field)? {
            match (field, of) {
                (VALUES, Type::Integer) => inner.values = Some(reader.integer()?),
                (ENCODING, Type::Integer) => inner.encoding = Some(reader.integer()?),
                (LEVELS, Type::Integer) => inner.levels = Some(reader.integer()?),
                (_, other) => reader.pass(other, DEPTH)?,
            }
        }
        Ok(inner)
    }
}

/// Types of fields, as far as they are told apart.
#[derive(Debug, Clone, Copy)]
enum Type {
    /// In the field's head itself.
    Boolean,
    Byte,
    Integer,
    Double,
    Binary,
    List,
    Struct,
}

impl Type {
    fn of(code: u8) -> Result<Self> {
        Ok(match code {
            1 | 2 => Self::Boolean,
            3 => Self::Byte,
            4..=6 => Self::Integer,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            12 => Self::Struct,
            _ => return Err(Damage::Header),
        })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.at).ok_or(Damage::Header)?;
        self.at += 1;
        Ok(byte)
    }

    fn unsigned(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damage::Header)
    }

    fn integer(&mut self) -> Result<i64> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn field(&mut self, field: &mut i64) -> Result<Option<Type>> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        *field = match head >> 4 {
            0 => self.integer()?,
            more => field.saturating_add(i64::from(more)),
        };
        Type::of(head & 0x0f).map(Some)
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        let end = usize::try_from(bytes).ok().and_then(|bytes| self.at.checked_add(bytes));
        self.at = end.filter(|end| *end <= self.bytes.len()).ok_or(Damage::Header)?;
        Ok(())
    }

    fn pass(&mut self, of: Type, depth: usize) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or(Damage::Header)?;
        match of {
            Type::Boolean => Ok(()),
            Type::Byte => self.skip(1),
            Type::Integer => self.unsigned().map(drop),
            Type::Double => self.skip(8),
            Type::Binary => {
                let bytes = self.unsigned()?;
                self.skip(bytes)
            }
            Type::List => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.unsigned()? } else { u64::from(head >> 4) };
                let of = Type::of(head & 0x0f)?;
                for _ in 0..count {
                    // A boolean in a list is a byte of its own.
                    self.pass(if matches!(of, Type::Boolean) { Type::Byte } else { of }, depth)?;
                }
                Ok(())
            }
            Type::Struct => {
                let mut field = 0;
                while let Some(of) = self.field(&mut field)? {
                    self.pass(of, depth)?;
                }
                Ok(())
            }
        }
    }
}
