//! Checks Parquet's metadata, which is in Thrift's compact protocol, before the crate parses it. The crate derives a field's type from its
//! number and not from the file, allocates as many elements as a list claims, and iterates over elements that take no bytes. So every
//! field must have the type that the format gives it: then both read the same bytes, and no length is larger than the bytes that are left.

/// The type of a field or an element.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Binary,
    /// An i32, or a bool as 0 or 1, that is reported to the caller by this name.
    Reported(&'static str),
    ReportedBool(&'static str),
    List(&'static Shape),
    Struct(&'static [(i16, Shape)]),
}

use Shape::{Binary, Bool, Byte, Double, I16, I32, I64, List, Reported, ReportedBool, Struct};

/// The code of a bool that is false. A bool field's code is its value, and the code of true is 1.
const FALSE: u8 = 2;
const LIST: u8 = 9;
const STRUCT: u8 = 12;
/// The deepest nesting of structs and lists that is accepted; the format's own is nine.
const DEEPEST: usize = 16;

const EMPTY: Shape = Struct(&[]);
const TIME: Shape = Struct(&[(1, Bool), (2, Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]))]);
const LOGICAL_TYPE: Shape = Struct(&[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Struct(&[(1, I32), (2, I32)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Bool)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, I32)])),
    (19, EMPTY),
]);
const SCHEMA_ELEMENT: Shape = Struct(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Binary),
    (5, Reported("children")),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, LOGICAL_TYPE),
]);
const BOX: Shape =
    Struct(&[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)]);
/// The metadata of a column, without the statistics, which the crate is set to skip.
const COLUMN_METADATA: Shape = Struct(&[
    (1, I32),
    (2, List(&I32)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (9, I64),
    (10, I64),
    (11, I64),
    (14, I64),
    (15, I32),
    (17, Struct(&[(1, BOX), (2, List(&I32))])),
]);
const COLUMN_CHUNK: Shape =
    Struct(&[(1, Binary), (2, I64), (3, COLUMN_METADATA), (4, I64), (5, I32), (6, I64), (7, I32)]);
const ROW_GROUP: Shape = Struct(&[
    (1, List(&COLUMN_CHUNK)),
    (2, I64),
    (3, I64),
    (4, List(&Struct(&[(1, I32), (2, Bool), (3, Bool)]))),
    (5, I64),
    (7, I16),
]);

/// A footer. It reports the number of `children` of each element of the schema.
pub(super) const FILE_METADATA: Shape = Struct(&[
    (1, I32),
    (2, List(&SCHEMA_ELEMENT)),
    (3, I64),
    (4, List(&ROW_GROUP)),
    (5, List(&Struct(&[(1, Binary), (2, Binary)]))),
    (6, Binary),
    (7, List(&Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]))),
]);

/// A page's header. It reports the page's `kind`, its size as `stored` and `inflated`, the bytes of its `levels`, which are not compressed, and
/// whether the rest is `compressed`, if the header has that field.
pub(super) const PAGE_HEADER: Shape = Struct(&[
    (1, Reported("kind")),
    (2, Reported("inflated")),
    (3, Reported("stored")),
    (4, I32),
    (5, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32)])),
    (6, EMPTY),
    (7, Struct(&[(1, I32), (2, I32), (3, Bool)])),
    (
        8,
        Struct(&[
            (1, I32),
            (2, I32),
            (3, I32),
            (4, I32),
            (5, Reported("levels")),
            (6, Reported("levels")),
            (7, ReportedBool("compressed")),
        ]),
    ),
]);

impl Shape {
    fn is_written_as(self, kind: u8) -> bool {
        match self {
            Bool | ReportedBool(_) => kind == 1 || kind == FALSE,
            Byte => kind == 3,
            I16 => kind == 4,
            I32 | Reported(_) => kind == 5,
            I64 => kind == 6,
            Double => kind == 7,
            Binary => kind == 8,
            List(_) => kind == LIST,
            Struct(_) => kind == STRUCT,
        }
    }
}

/// The bytes that are left to check.
pub(super) struct Walk<'a> {
    pub rest: &'a [u8],
}

impl<'a> Walk<'a> {
    /// Checks one message, to its end.
    pub fn through(&mut self, shape: Shape, report: &mut dyn FnMut(&'static str, i32)) -> Result<(), String> {
        self.value(STRUCT, Some(shape), 0, report)
    }

    /// Reads an unsigned number, of seven bits a byte.
    pub fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number has more than 64 bits".into())
    }

    fn signed(&mut self) -> Result<i64, String> {
        self.varint().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let (taken, rest) = usize::try_from(count)
            .ok()
            .and_then(|count| self.rest.split_at_checked(count))
            .ok_or_else(|| format!("a value is said to have {count} bytes, and {} are left", self.rest.len()))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Checks a value. A field without a shape is not one of the format's, and a reader skips it.
    fn value(
        &mut self,
        kind: u8,
        shape: Option<Shape>,
        depth: usize,
        report: &mut dyn FnMut(&'static str, i32),
    ) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("its metadata is nested more than {DEEPEST} deep"));
        }
        if shape.is_some_and(|shape| !shape.is_written_as(kind)) {
            return Err(format!("a field of its metadata has type {kind}, which is not the format's"));
        }
        match kind {
            1 | FALSE => {
                if let Some(ReportedBool(name)) = shape {
                    report(name, i32::from(kind == 1));
                }
            }
            3 => drop(self.take(1)?),
            4..=6 => {
                let value = self.signed()?;
                if let Some(Reported(name)) = shape {
                    report(name, i32::try_from(value).map_err(|_| format!("{value} is not a 32-bit number"))?);
                }
            }
            7 => drop(self.take(8)?),
            8 => {
                let length = self.varint()?;
                self.take(length)?;
            }
            LIST => self.list(shape, depth, report)?,
            STRUCT => self.fields(shape, depth, report)?,
            other => return Err(format!("its metadata has a value of type {other}, which Parquet does not use")),
        }
        Ok(())
    }

    fn list(
        &mut self,
        shape: Option<Shape>,
        depth: usize,
        report: &mut dyn FnMut(&'static str, i32),
    ) -> Result<(), String> {
        let head = self.take(1)?[0];
        let (kind, count) = (head & 15, if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) });
        if count > self.rest.len() as u64 {
            return Err(format!("a list is said to have {count} elements, and {} bytes are left", self.rest.len()));
        }
        if count > 0 && (kind == 1 || kind == FALSE) {
            return Err("its metadata has a list of booleans, which Parquet does not use".into());
        }
        let of = if let Some(List(of)) = shape { Some(*of) } else { None };
        for _ in 0..count {
            if kind == STRUCT && self.rest.first() == Some(&0) {
                return Err("its metadata has a list of elements without a type".into());
            }
            self.value(kind, of, depth + 1, report)?;
        }
        Ok(())
    }

    /// Checks a struct's fields. Their numbers must ascend, as all writers write them: a parser would keep the last of two with the same number.
    fn fields(
        &mut self,
        shape: Option<Shape>,
        depth: usize,
        report: &mut dyn FnMut(&'static str, i32),
    ) -> Result<(), String> {
        let known = if let Some(Struct(known)) = shape { known } else { &[] };
        let mut number = 0i16;
        loop {
            let head = self.take(1)?[0];
            if head == 0 {
                return Ok(());
            }
            let next = match head >> 4 {
                0 => i16::try_from(self.signed()?).ok(),
                more => number.checked_add(more.into()),
            };
            let before = number;
            number = next.ok_or("a field of its metadata has a number that no field can have")?;
            if number <= before {
                return Err(format!(
                    "field {number} of its metadata follows field {before}: their numbers must ascend"
                ));
            }
            let of = known.iter().find(|(known, _)| *known == number).map(|(_, shape)| *shape);
            self.value(head & 15, of, depth + 1, report)?;
        }
    }
}
