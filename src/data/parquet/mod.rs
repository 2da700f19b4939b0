//! Tables in Parquet files. The crate that parses them trusts a file's metadata, so the metadata is checked first: the
//! footer and each page's header in [`thrift`], each page in [`pages`], and all sizes here.

mod pages;
mod thrift;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use csv::StringRecord;
use parquet::basic::{Repetition, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};
use parquet::record::Field;
use parquet::record::reader::TreeBuilder;

use super::table::{self, Table};
use super::{Dataset, MOST_BYTES, ReadOptions};
use crate::error::Error;
use pages::Group;
use thrift::{FILE_METADATA, Walk};

/// The most cells, and the most bytes of text in them, for each byte of a file. A repeated value takes no bytes, so that a small file could
/// claim any number of rows; sets to learn from stay below these limits.
const MOST_CELLS_A_BYTE: u64 = 1 << 10;
const MOST_TEXT_A_BYTE: u64 = 1 << 13;
/// The longest footer, and the longest name of a column.
const MOST_OF_FOOTER: usize = 8 << 20;
const MOST_OF_NAME: usize = 1 << 10;
/// The most columns with nested columns that are parsed, to name the first of them in an error: they may be nested in each other.
const MOST_GROUPS: usize = 100;
/// The longest value of a fixed-length type; the only such type that is read is a half.
const MOST_FIXED: i32 = 64;
/// The number of cells that are decoded at once.
const CELLS_AT_ONCE: usize = 1 << 20;

/// Reads a file's rows as a set: numbers, booleans as 0 and 1, and words. Besides the set, memory holds at most the file, 100 bytes for
/// each byte of its footer, and the current pages: [`most_of_pages`].
pub(super) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    // The crate checks some of the metadata with assertions, which panic.
    let read = AssertUnwindSafe(|| read_rows(path, bytes, options));
    catch_unwind(read)
        .unwrap_or_else(|_| Err(Error::format(path, "it is not a whole Parquet file: its metadata contradicts itself")))
}

fn read_rows(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    let bytes = Bytes::copy_from_slice(bytes);
    check_footer(&bytes).map_err(|reason| Error::format(path, format!("it is not a whole Parquet file: {reason}")))?;
    let skip = || ParquetStatisticsPolicy::SkipAll;
    let options_of_file = ParquetMetaDataOptions::new()
        .with_column_stats_policy(skip())
        .with_size_stats_policy(skip())
        .with_encoding_stats_policy(skip());
    let about = ParquetMetaDataReader::new()
        .with_metadata_options(Some(options_of_file))
        .parse_and_finish(&bytes)
        .map_err(|error| broken(path, &error))?;
    check_columns(&about)
        .and_then(|()| check_sizes(bytes.len() as u64, &about))
        .map_err(|reason| Error::format(path, reason))?;
    let fields = about.file_metadata().schema().get_fields();
    let names = fields.iter().map(|field| field.name().to_string()).collect();
    let rows = Rows { path, bytes, about, names };
    table::read(&rows, options)
}

/// Checks the footer, so that a parser that trusts it can read it.
fn check_footer(bytes: &[u8]) -> Result<(), String> {
    let body = bytes.strip_suffix(b"PAR1").ok_or("it does not end with PAR1")?;
    let (body, length) = body.split_last_chunk().ok_or("it ends before its footer")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MOST_OF_FOOTER {
        return Err(format!("its footer has {length} bytes: at most {MOST_OF_FOOTER} are read"));
    }
    let begin = body.len().checked_sub(length);
    let footer = begin
        .map(|begin| &body[begin..])
        .ok_or_else(|| format!("its footer is said to have {length} bytes, more than the file"))?;
    let mut children = Vec::new();
    Walk { rest: footer }.through(FILE_METADATA, &mut |_, count| children.extend((count != 0).then_some(count)))?;
    let count = children.iter().try_fold(0, |sum: usize, &count| sum.checked_add(usize::try_from(count).ok()?));
    if count.is_none_or(|count| count > footer.len()) || children.len() > MOST_GROUPS {
        return Err("its nested columns are too many, or more than its footer has".into());
    }
    Ok(())
}

/// Checks that its columns are not nested, and that values of a fixed length are short.
fn check_columns(about: &ParquetMetaData) -> Result<(), String> {
    for (at, field) in about.file_metadata().schema().get_fields().iter().enumerate() {
        let name = field.name();
        if name.len() > MOST_OF_NAME {
            return Err(format!(
                "the name of column {} has {} bytes: at most {MOST_OF_NAME} are read",
                at + 1,
                name.len()
            ));
        }
        if !field.is_primitive() || field.get_basic_info().repetition() == Repetition::REPEATED {
            return Err(format!("column \"{name}\" has nested columns: only plain ones are read"));
        }
        if field.get_physical_type() == Type::FIXED_LEN_BYTE_ARRAY
            && !about
                .file_metadata()
                .schema_descr()
                .columns()
                .get(at)
                .is_some_and(|column| (1..=MOST_FIXED).contains(&column.type_length()))
        {
            return Err(format!(
                "column \"{name}\" has values of a fixed length: only numbers, booleans and text are read"
            ));
        }
    }
    Ok(())
}

/// Checks that every column chunk is inside the file, that chunks do not overlap, that each has the rows of its group, and that the file
/// does not claim more cells than it can hold.
fn check_sizes(length: u64, about: &ParquetMetaData) -> Result<(), String> {
    let mut cells = 0u64;
    let mut stored = 0u64;
    for group in about.row_groups() {
        let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
        cells = cells.saturating_add(rows.saturating_mul(group.num_columns().max(1) as u64));
        for chunk in group.columns() {
            let begin = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
            let size = u64::try_from(chunk.compressed_size()).unwrap_or(u64::MAX);
            let end = u64::try_from(begin).ok().and_then(|begin| begin.checked_add(size));
            stored = stored.saturating_add(size);
            if end.is_none_or(|end| end > length) || stored > length || chunk.num_values() != group.num_rows() {
                return Err(format!(
                    "its column {} is said to be outside the file, or inside another column, or to have another number of rows",
                    chunk.column_path()
                ));
            }
        }
    }
    if cells > MOST_BYTES.min(MOST_CELLS_A_BYTE * length) {
        return Err(format!("it says that it has more rows than its {length} bytes can hold"));
    }
    Ok(())
}

/// The most bytes that the pages in memory may take, one page and one dictionary of each column, for a file of `length` bytes.
fn most_of_pages(length: u64) -> u64 {
    MOST_BYTES.min((256 << 20) + 64 * length)
}

struct Rows<'a> {
    path: &'a Path,
    bytes: Bytes,
    about: ParquetMetaData,
    names: Vec<String>,
}

impl Table for Rows<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn names(&self) -> Option<&[String]> {
        Some(&self.names)
    }

    fn delimiter(&self) -> Option<char> {
        None
    }

    fn each(&self, take: &mut dyn FnMut(usize, &StringRecord) -> Result<(), Error>) -> Result<(), Error> {
        let length = self.bytes.len() as u64;
        let at_once = (CELLS_AT_ONCE / self.names.len().max(1)).clamp(1, 1 << 10);
        let schema = self.about.file_metadata().schema_descr_ptr();
        let (mut row, mut text) = (0, 0);
        for group in self.about.row_groups() {
            let group = Group::new(self.bytes.clone(), group, most_of_pages(length));
            let rows = TreeBuilder::new().with_batch_size(at_once).as_iter(schema.clone(), &group);
            for fields in rows.map_err(|error| broken(self.path, &error))? {
                let fields = fields.map_err(|error| broken(self.path, &error))?;
                let mut record = StringRecord::new();
                for (name, field) in fields.get_column_iter() {
                    let cell = cell(field).map_err(|what| {
                        Error::format(
                            self.path,
                            format!("row {row}, column \"{name}\" is {what}: only numbers, booleans and text are read"),
                        )
                    })?;
                    record.push_field(&cell);
                }
                text += record.as_slice().len() as u64;
                if text > MOST_TEXT_A_BYTE * length {
                    let reason =
                        format!("its first {row} rows have {text} bytes of text: no more are read from {length}");
                    return Err(Error::format(self.path, reason));
                }
                take(row, &record)?;
                row += 1;
            }
        }
        Ok(())
    }
}

/// A value as text; the error names the type of a value that is not read.
fn cell(field: &Field) -> Result<String, String> {
    Ok(match field {
        Field::Null => String::new(),
        Field::Bool(value) => u8::from(*value).to_string(),
        Field::Byte(value) => value.to_string(),
        Field::Short(value) => value.to_string(),
        Field::Int(value) => value.to_string(),
        Field::Long(value) => value.to_string(),
        Field::UByte(value) => value.to_string(),
        Field::UShort(value) => value.to_string(),
        Field::UInt(value) => value.to_string(),
        Field::ULong(value) => value.to_string(),
        Field::Float16(value) => value.to_string(),
        Field::Float(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        Field::Str(value) => value.trim().to_string(),
        Field::Bytes(bytes) => return Err(format!("{} bytes", bytes.len())),
        other => return Err(other.to_string()),
    })
}

fn broken(path: &Path, error: &ParquetError) -> Error {
    Error::format(path, format!("it is not a whole Parquet file: {error}"))
}
