//! The pages of a column: each is checked before the crate inflates it, and again before its values are decoded.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::RowGroupReader;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type as SchemaType;

use super::thrift::{PAGE_HEADER, Walk};

/// The most bytes that an entry of a dictionary takes in memory.
const ENTRY_BYTES: u64 = 32;

/// A row group whose columns are read a page at a time.
pub(super) struct Group<'a> {
    file: Bytes,
    about: &'a RowGroupMetaData,
    room: Arc<Room>,
}

impl<'a> Group<'a> {
    /// A row group, the pages of whose columns may take at most `most` bytes in all.
    pub fn new(file: Bytes, about: &'a RowGroupMetaData, most: u64) -> Self {
        Group { file, about, room: Arc::new(Room { most, taken: AtomicU64::new(0) }) }
    }
}

impl RowGroupReader for Group<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.about
    }

    fn num_columns(&self) -> usize {
        self.about.num_columns()
    }

    fn get_column_page_reader(&self, column: usize) -> Result<Box<dyn PageReader>> {
        Pages::new(&self.file, self.about, self.about.column(column), &self.room).map(|pages| Box::new(pages) as _)
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&Sbbf> {
        None
    }

    fn get_row_iter(&self, projection: Option<SchemaType>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

/// The bytes that pages may take, and those that they take now.
struct Room {
    most: u64,
    taken: AtomicU64,
}

/// A column's pages.
struct Pages {
    reader: SerializedPageReader<Bytes>,
    /// The bytes of the pages still to come.
    rest: Bytes,
    compression: Compression,
    kind: Type,
    /// Whether values may be missing, so that levels come before them.
    optional: bool,
    /// The number of values still to come, including missing ones.
    values: u64,
    room: Arc<Room>,
    /// The bytes that the dictionary, if there has been one, and the current page take of the room.
    dictionary: Option<u64>,
    page: u64,
}

impl Pages {
    fn new(file: &Bytes, group: &RowGroupMetaData, column: &ColumnChunkMetaData, room: &Arc<Room>) -> Result<Self> {
        let (begin, length) = column.byte_range();
        let rows = usize::try_from(group.num_rows())?;
        Ok(Pages {
            reader: SerializedPageReader::new(Arc::new(file.clone()), column, rows, None)?,
            rest: file.slice(begin as usize..(begin + length) as usize),
            compression: column.compression(),
            kind: column.column_type(),
            optional: column.column_descr().max_def_level() > 0,
            values: rows as u64,
            room: room.clone(),
            dictionary: None,
            page: 0,
        })
    }

    /// Accounts for the `page` bytes of the page in memory.
    fn make_room(&mut self, page: u64) -> Result<()> {
        let before = self.room.taken.fetch_sub(self.page, Ordering::Relaxed) - self.page;
        self.page = 0;
        if before.saturating_add(page) > self.room.most {
            return refuse(format!(
                "its pages take more than {} bytes at once, the most that a file of this size may take",
                self.room.most
            ));
        }
        self.room.taken.fetch_add(page, Ordering::Relaxed);
        self.page = page;
        Ok(())
    }

    /// Checks the next page's header, and returns where it ends.
    fn check_header(&mut self) -> Result<usize> {
        let mut walk = Walk { rest: &self.rest };
        let (mut kind, mut inflated, mut stored, mut levels, mut compressed) = (-1, -1, -1, 0i64, true);
        let read = walk.through(PAGE_HEADER, &mut |name, value| match name {
            "kind" => kind = value,
            "inflated" => inflated = value,
            "stored" => stored = value,
            "compressed" => compressed = value != 0,
            _ => levels += i64::from(value),
        });
        read.map_err(ParquetError::General)?;
        let header = self.rest.len() - walk.rest.len();
        let sizes = (u64::try_from(inflated), usize::try_from(stored), usize::try_from(levels));
        let (Ok(inflated), Ok(stored), Ok(levels)) = sizes else {
            return refuse("a page has a size below 0".into());
        };
        if stored > walk.rest.len() || levels > stored {
            return refuse(format!("a page is said to have {stored} bytes, and {} are left", walk.rest.len()));
        }
        // Index pages are not read: no writer puts them among the others.
        if ![0, 2, 3].contains(&kind) {
            return refuse(format!("a page is of kind {kind}: it must hold data or a dictionary"));
        }
        let compressed = compressed && self.compression != Compression::UNCOMPRESSED;
        if compressed && inflated > most_inflated(self.compression, stored as u64) {
            return refuse(format!("{stored} bytes are said to inflate to {inflated}, which is impossible"));
        }
        // The crate inflates a page to its end, regardless of the size in its header, unless that size is 0.
        let most = inflated.saturating_sub(levels as u64);
        if compressed && most > 0 && matches!(self.compression, Compression::GZIP(_)) {
            let mut page = flate2::read::MultiGzDecoder::new(&walk.rest[levels..stored]).take(most + 1);
            let count = std::io::copy(&mut page, &mut std::io::sink())
                .map_err(|error| ParquetError::General(format!("a page does not inflate: {error}")))?;
            if count > most {
                return refuse(format!("a page inflates to more than the {inflated} bytes that it is said to have"));
            }
        }
        self.make_room(inflated.max(stored as u64))?;
        Ok(header + stored)
    }

    /// Checks an inflated page.
    fn check_page(&mut self, page: &Page) -> Result<()> {
        let bytes = page.buffer().len() as u64;
        if let Page::DictionaryPage { num_values, .. } = page {
            self.make_room(bytes + ENTRY_BYTES * u64::from(*num_values))?;
            self.dictionary = Some(self.dictionary.unwrap_or(0) + std::mem::take(&mut self.page));
            return Ok(());
        }
        let count = page.num_values().into();
        let more = || format!("its pages have more values than the {} rows that are left", self.values);
        self.values = self.values.checked_sub(count).ok_or_else(|| ParquetError::General(more()))?;
        match page.encoding() {
            Encoding::PLAIN | Encoding::RLE | Encoding::DELTA_BINARY_PACKED | Encoding::BYTE_STREAM_SPLIT => Ok(()),
            Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY if self.dictionary.is_some() => Ok(()),
            Encoding::DELTA_LENGTH_BYTE_ARRAY if self.kind == Type::BYTE_ARRAY => {
                self.make_room(bytes + 4 * count)?;
                self.check_lengths(page, count)
            }
            // In delta encodings, each text repeats any part of the one before it: a few bytes may stand for any amount of text.
            other => refuse(format!(
                "a page's encoding is {other}, which is not read: write it plain, or with the dictionary that is the default"
            )),
        }
    }

    /// Checks that a page has no more lengths than values.
    fn check_lengths(&self, page: &Page, values: u64) -> Result<()> {
        let levels = match page {
            Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
                u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len)
            }
            Page::DataPage { buf, def_level_encoding: Encoding::RLE, .. } if self.optional => {
                4 + buf.first_chunk().map_or(0, |&length| u64::from(u32::from_le_bytes(length)))
            }
            _ if self.optional => return refuse("a page's levels have an encoding that no writer uses".into()),
            _ => 0,
        };
        let rest = usize::try_from(levels).ok().and_then(|levels| page.buffer().get(levels..)).unwrap_or_default();
        let mut walk = Walk { rest };
        // The sizes of blocks and miniblocks come before the count.
        let count = walk.varint().and_then(|_| walk.varint()).and_then(|_| walk.varint());
        match count.map_err(ParquetError::General)? {
            count if count <= values => Ok(()),
            count => refuse(format!("a page of {values} values says that it has {count} lengths")),
        }
    }
}

/// An upper bound of the bytes that `stored` bytes can inflate to.
fn most_inflated(compression: Compression, stored: u64) -> u64 {
    let ratio = match compression {
        // A copy of 64 bytes takes three.
        Compression::SNAPPY => 64,
        Compression::GZIP(_) => 1_100,
        // A block of 128 KiB takes four.
        _ => 1 << 16,
    };
    (stored + 64).saturating_mul(ratio)
}

fn refuse<T>(reason: String) -> Result<T> {
    Err(ParquetError::General(reason))
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.check_header()?;
        self.rest = self.rest.slice(end..);
        let page = self.reader.get_next_page()?;
        page.iter().try_for_each(|page| self.check_page(page))?;
        Ok(page)
    }

    // The rows are read without skipping.
    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        Err(ParquetError::NYI("pages are read, not skipped".into()))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        Err(ParquetError::NYI("pages are read, not skipped".into()))
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.dictionary.unwrap_or(0) + self.page, Ordering::Relaxed);
    }
}
