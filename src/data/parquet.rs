//! Tables in Parquet files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use csv::StringRecord;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::columns::{Columns, Table};
use super::{Dataset, MOST_BYTES, ReadOptions};
use crate::Error;

/// The most rows for each byte of a file.
const MOST_ROWS_A_BYTE: u64 = 256;

/// A set of a file's rows: numbers, truth as 0 and 1, and words.
pub(super) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    // The crate checks some of what a file says with assertions.
    let read = AssertUnwindSafe(|| read_rows(path, bytes, options));
    catch_unwind(read)
        .unwrap_or_else(|_| Err(Error::format(path, "it is not a whole Parquet file: it says what cannot be")))
}

fn read_rows(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).map_err(|error| broken(path, &error))?;
    check_sizes(path, bytes.len() as u64, &reader)?;
    let fields = reader.metadata().file_metadata().schema().get_fields();
    if let Some(nested) = fields.iter().find(|field| !field.is_primitive()) {
        return Err(Error::format(
            path,
            format!("column \"{}\" has columns inside: only plain ones are read", nested.name()),
        ));
    }
    let names = fields.iter().map(|field| field.name().to_string()).collect();
    let table = Rows { path, reader, names };
    match &options.columns {
        Some(columns) => columns.encode(&table, !options.inputs_only),
        None if options.inputs_only => Columns::numbers(table.names.len()).encode(&table, false),
        None => Columns::learn(&table, options)?.encode(&table, true),
    }
}

/// That every chunk is inside the file, has the rows that its group has, and inflates to no more than fits. A value that is repeated takes no
/// bytes, so that a file of nothing may claim any number of rows: more than a set to learn from has are not believed.
fn check_sizes(path: &Path, length: u64, reader: &SerializedFileReader<Bytes>) -> Result<(), Error> {
    let groups = reader.metadata().row_groups();
    let rows = groups.iter().try_fold(0u64, |rows, group| rows.checked_add(u64::try_from(group.num_rows()).ok()?));
    if rows.is_none_or(|rows| rows > MOST_ROWS_A_BYTE * length) {
        return Err(Error::format(path, format!("it says that it has more rows than its {length} bytes can hold")));
    }
    for (group, chunk) in groups.iter().flat_map(|group| group.columns().iter().map(move |chunk| (group, chunk))) {
        let begin = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()).min(chunk.data_page_offset());
        let size = u64::try_from(chunk.compressed_size()).ok();
        let end = u64::try_from(begin).ok().and_then(|begin| begin.checked_add(size?));
        let fits = end.is_some_and(|end| end <= length) && (0..=MOST_BYTES as i64).contains(&chunk.uncompressed_size());
        if !fits || chunk.num_values() != group.num_rows() {
            return Err(Error::format(
                path,
                format!(
                    "its column {} is said to be where the file is not, or to have other rows or more than 4 GiB",
                    chunk.column_path()
                ),
            ));
        }
    }
    Ok(())
}

struct Rows<'a> {
    path: &'a Path,
    reader: SerializedFileReader<Bytes>,
    names: Vec<String>,
}

impl Table for Rows<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn names(&self) -> Option<&[String]> {
        Some(&self.names)
    }

    fn each(&self, take: &mut dyn FnMut(usize, &StringRecord) -> Result<(), Error>) -> Result<(), Error> {
        let rows = self.reader.get_row_iter(None).map_err(|error| broken(self.path, &error))?;
        for (row, fields) in rows.enumerate() {
            let fields = fields.map_err(|error| broken(self.path, &error))?;
            let mut record = StringRecord::new();
            for (name, field) in fields.get_column_iter() {
                let cell = cell(field).ok_or_else(|| {
                    Error::format(
                        self.path,
                        format!("row {row}, column \"{name}\" is {field}: only numbers, truth and text are read"),
                    )
                })?;
                record.push_field(&cell);
            }
            take(row, &record)?;
        }
        Ok(())
    }
}

/// A value as it would be written in text.
fn cell(field: &Field) -> Option<String> {
    Some(match field {
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
        _ => return None,
    })
}

fn broken(path: &Path, error: &ParquetError) -> Error {
    Error::format(path, format!("it is not a whole Parquet file: {error}"))
}
