//! Tables in Parquet files.

use std::path::Path;

use bytes::Bytes;
use csv::StringRecord;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::columns::{Columns, Table};
use super::{Dataset, ReadOptions};
use crate::Error;

/// A set of a file's rows: numbers, truth as 0 and 1, and words.
pub(super) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).map_err(|error| broken(path, &error))?;
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
