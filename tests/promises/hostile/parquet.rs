//! Parquet files that were made to do harm. They are put together by hand, field by field, so that each lies in one place; the crate that
//! reads them would believe it.

use std::io::Write;

use wgrad::{ReadOptions, Scaling};

#[cfg(target_os = "linux")]
use super::explained_in_little_memory;
use super::{format, refused};

/// A message in Thrift's compact protocol.
#[derive(Clone, Default)]
struct Message {
    bytes: Vec<u8>,
    last: u8,
}

/// The types of fields and elements.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn zigzag(value: i64) -> Vec<u8> {
    varint((value << 1 ^ value >> 63) as u64)
}

impl Message {
    /// With a field whose content is there as it is; fields come in the order of their numbers.
    fn field(mut self, number: u8, kind: u8, content: &[u8]) -> Self {
        self.bytes.push((number - self.last) << 4 | kind);
        self.bytes.extend(content);
        self.last = number;
        self
    }

    /// With a field whose number is written out, and may be one that has been.
    fn numbered(mut self, number: u8, kind: u8, content: &[u8]) -> Self {
        self.bytes.push(kind);
        self.bytes.extend(zigzag(number.into()));
        self.bytes.extend(content);
        self
    }

    fn i32(self, number: u8, value: i32) -> Self {
        self.field(number, I32, &zigzag(value.into()))
    }

    fn i64(self, number: u8, value: i64) -> Self {
        self.field(number, I64, &zigzag(value))
    }

    fn text(self, number: u8, text: &str) -> Self {
        self.field(number, BINARY, &[&varint(text.len() as u64)[..], text.as_bytes()].concat())
    }

    fn message(self, number: u8, message: Message) -> Self {
        self.field(number, STRUCT, &message.end())
    }

    fn list(self, number: u8, messages: Vec<Message>) -> Self {
        let head = [&[0xf0 | STRUCT][..], &varint(messages.len() as u64)].concat();
        let all: Vec<u8> = messages.into_iter().flat_map(Message::end).collect();
        self.field(number, LIST, &[head, all].concat())
    }

    /// With a list that is not there.
    fn lying_list(self, number: u8, kind: u8, count: u64) -> Self {
        self.field(number, LIST, &[&[0xf0 | kind][..], &varint(count)].concat())
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

// Numbers of the format.
const INT32: i32 = 1;
const DOUBLE: i32 = 5;
const BYTE_ARRAY: i32 = 6;
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const DELTA_LENGTH_BYTE_ARRAY: i32 = 6;
const DELTA_BYTE_ARRAY: i32 = 7;
const RLE_DICTIONARY: i32 = 8;
const UNCOMPRESSED: i32 = 0;
const SNAPPY: i32 = 1;
const GZIP: i32 = 2;

/// A page's header and its bytes, with the size that they are said to inflate to.
fn page(kind: i32, inflated: i32, bytes: &[u8], field: u8, about: Message) -> Vec<u8> {
    let header = Message::default().i32(1, kind).i32(2, inflated).i32(3, bytes.len() as i32).message(field, about);
    [header.end(), bytes.to_vec()].concat()
}

fn about_values(count: i32, encoding: i32) -> Message {
    Message::default().i32(1, count).i32(2, encoding).i32(3, RLE).i32(4, RLE)
}

fn values(count: i32, encoding: i32, bytes: &[u8]) -> Vec<u8> {
    page(0, bytes.len() as i32, bytes, 5, about_values(count, encoding))
}

/// What a page of the second kind says of two values: the bytes of their levels, and whether what follows is compressed.
fn about_levels(levels: i32, compressed: u8) -> Message {
    let about = Message::default().i32(1, 2).i32(2, 0).i32(3, 2).i32(4, PLAIN).i32(5, levels).i32(6, 0);
    about.field(7, compressed, &[])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn dictionary(count: i32, bytes: &[u8]) -> Vec<u8> {
    page(2, bytes.len() as i32, bytes, 7, Message::default().i32(1, count).i32(2, PLAIN))
}

/// A column that is in a file, none of its values missing.
#[derive(Clone)]
struct Column {
    name: String,
    kind: i32,
    codec: i32,
    pages: Vec<u8>,
}

fn column(name: &str, kind: i32, pages: Vec<u8>) -> Column {
    Column { name: name.into(), kind, codec: UNCOMPRESSED, pages }
}

/// Two rows: 0.5 and -2, of the classes 3 and 4.
fn plain() -> [Column; 2] {
    let x = values(2, PLAIN, &[0.5f64.to_le_bytes(), (-2f64).to_le_bytes()].concat());
    let y = values(2, PLAIN, &[3i32.to_le_bytes(), 4i32.to_le_bytes()].concat());
    [column("x", DOUBLE, x), column("y", INT32, y)]
}

fn root(children: i32) -> Message {
    Message::default().text(4, "schema").i32(5, children)
}

fn schema(columns: &[Column]) -> Vec<Message> {
    // Bytes are words, as the sixth field says.
    let leaf = |column: &Column| {
        let about = Message::default().i32(1, column.kind).i32(3, 0).text(4, &column.name);
        if column.kind == BYTE_ARRAY { about.i32(6, 0) } else { about }
    };
    [root(columns.len() as i32)].into_iter().chain(columns.iter().map(leaf)).collect()
}

fn chunk(column: &Column, rows: i64, begin: usize) -> Message {
    let about = Message::default().i32(1, column.kind).field(2, LIST, &[0x15, 0]).field(3, LIST, &[BINARY]);
    let size = column.pages.len() as i64;
    let about = about.i32(4, column.codec).i64(5, rows).i64(6, size).i64(7, size).i64(9, begin as i64);
    Message::default().i64(2, 0).message(3, about)
}

fn footer(schema: Vec<Message>, rows: i64, chunks: Vec<Message>) -> Message {
    let group = Message::default().list(1, chunks).i64(2, 0).i64(3, rows);
    Message::default().i32(1, 1).list(2, schema).i64(3, rows).list(4, vec![group])
}

fn whole(body: &[u8], footer: Message) -> Vec<u8> {
    let footer = footer.end();
    [b"PAR1", body, &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

fn file(columns: &[Column], rows: i64) -> Vec<u8> {
    let (mut body, mut chunks) = (Vec::new(), Vec::new());
    for column in columns {
        chunks.push(chunk(column, rows, 4 + body.len()));
        body.extend(&column.pages);
    }
    whole(&body, footer(schema(columns), rows, chunks))
}

/// The two rows, with other pages of a column "x" in place of its own.
fn with_pages(kind: i32, codec: i32, pages: Vec<u8>) -> Vec<u8> {
    let [x, y] = plain();
    file(&[Column { kind, codec, pages, ..x }, y], 2)
}

/// With this other header before the page of "x".
fn with_header(header: Message) -> Vec<u8> {
    with_pages(DOUBLE, UNCOMPRESSED, [header.end(), vec![0; 16]].concat())
}

/// The first fields of the header that is right for "x".
fn header() -> Message {
    Message::default().i32(1, 0).i32(2, 16).i32(3, 16)
}

/// Without damage, the files of the other tests are read: so each of those is refused for its damage alone.
#[test]
fn without_damage_they_are_read() {
    let wgrad::Sets { train: set, .. } =
        (format("parquet").read)(std::path::Path::new("whole"), &file(&plain(), 2), &ReadOptions::default()).unwrap();
    assert_eq!((set.rows(), set.labels(), set.class_names().len()), (2, &[0, 1][..], 2));
    assert_eq!(Scaling::min_max(&set).shift, [-2.0]);
    assert_eq!(set.row(0).unwrap(), [0.5]);
    // Indices of one bit, the lowest first: 1, 0.
    let words =
        [&dictionary(2, b"\x03\0\0\0red\x04\0\0\0blue")[..], &values(2, RLE_DICTIONARY, b"\x01\x03\x01")].concat();
    let wgrad::Sets { train: set, .. } = (format("parquet").read)(
        std::path::Path::new("words"),
        &with_pages(BYTE_ARRAY, UNCOMPRESSED, words),
        &ReadOptions::default(),
    )
    .unwrap();
    assert_eq!(set.columns().unwrap().feature_names(), ["x=blue", "x=red"]);
    assert_eq!((set.row(0).unwrap(), set.row(1).unwrap()), (vec![1.0, 0.0], vec![0.0, 1.0]));
}

/// Finds a list of two thousand million elements in a page's header that is believed: of elements without bytes, over which the crate iterated, and
/// of elements that take memory.
#[test]
fn lists_in_a_pages_header() {
    for kind in [TRUE, I32, STRUCT, LIST] {
        refused("parquet", &with_header(header().lying_list(6, kind, 2_000_000_000)), "type 9");
        refused(
            "parquet",
            &with_header(header().message(5, about_values(2, PLAIN)).lying_list(9, kind, 2_000_000_000)),
            "a list is said",
        );
    }
    refused(
        "parquet",
        &with_header(header().message(5, about_values(2, PLAIN)).lying_list(9, TRUE, 10)),
        "a list of booleans",
    );
}

/// Finds sizes in a page's header for which a buffer is allocated.
#[test]
fn sizes_in_a_pages_header() {
    let of_sizes = |inflated, stored| {
        Message::default().i32(1, 0).i32(2, inflated).i32(3, stored).message(5, about_values(2, PLAIN))
    };
    for (inflated, stored) in [(-1, 16), (16, -1), (i32::MIN, 16)] {
        refused("parquet", &with_header(of_sizes(inflated, stored)), "below 0");
    }
    refused("parquet", &with_header(of_sizes(16, i32::MAX)), "a page is said to have");
    for codec in [SNAPPY, GZIP] {
        let pages = page(0, i32::MAX, &[0; 16], 5, about_values(2, PLAIN));
        refused("parquet", &with_pages(DOUBLE, codec, pages), "which is impossible");
    }
    refused("parquet", &with_pages(DOUBLE, UNCOMPRESSED, values(i32::MAX, PLAIN, &[0; 16])), "more values than");
    refused(
        "parquet",
        &with_header(Message::default().i32(1, 1).i32(2, 16).i32(3, 16).message(6, Message::default())),
        "of kind 1",
    );
}

/// Finds a page that inflates to a thousand times what it says, or gives two ends of its levels: one for the check, one for the parser.
#[test]
fn a_page_that_is_a_bomb() {
    let bomb = gzip(&vec![0; 64 << 20]);
    let pages = page(0, 16, &bomb, 5, about_values(2, PLAIN));
    refused("parquet", &with_pages(DOUBLE, GZIP, pages), "inflates to more");
    let pages = page(3, 16, &bomb, 8, about_levels(0, TRUE));
    refused("parquet", &with_pages(DOUBLE, GZIP, pages), "inflates to more");

    // From its fifth byte on it does not inflate.
    let header = |levels| {
        let about = about_levels(levels, TRUE);
        Message::default().i32(1, 3).i32(2, 16).i32(3, bomb.len() as i32).message(8, about)
    };
    let twice = header(4).numbered(8, STRUCT, &about_levels(0, TRUE).end());
    refused("parquet", &with_pages(DOUBLE, GZIP, [twice.end(), bomb.clone()].concat()), "must ascend");
    let pages = [header(4).end(), bomb.clone()].concat();
    refused("parquet", &with_pages(DOUBLE, GZIP, pages), "a page does not inflate");
    let back = Message::default().i32(2, 16).numbered(1, I32, &zigzag(3));
    refused("parquet", &with_header(back), "must ascend");
}

/// Compressed pages are read, and so is one that is not compressed although its column is.
#[test]
fn pages_that_say_whether_they_are_compressed() {
    let values = [0.5f64.to_le_bytes(), (-2f64).to_le_bytes()].concat();
    for (kind, bytes, field, about) in [
        (0, gzip(&values), 5, about_values(2, PLAIN)),
        (3, gzip(&values), 8, about_levels(0, TRUE)),
        (3, values.clone(), 8, about_levels(0, FALSE)),
    ] {
        let file = with_pages(DOUBLE, GZIP, page(kind, values.len() as i32, &bytes, field, about));
        let wgrad::Sets { train: set, .. } =
            (format("parquet").read)(std::path::Path::new("pages"), &file, &ReadOptions::default()).unwrap();
        assert_eq!((set.row(0).unwrap(), set.row(1).unwrap()), (vec![0.5], vec![-2.0]));
    }
}

/// Finds a dictionary with the largest possible number of entries, and indices without a dictionary.
#[test]
fn dictionaries_that_are_not_there() {
    let indices = values(2, RLE_DICTIONARY, b"\x01\x03\x01");
    for kind in [BYTE_ARRAY, DOUBLE] {
        let lying = [dictionary(i32::MAX, b"\x03\0\0\0red\x04\0\0\0blue"), indices.clone()].concat();
        refused("parquet", &with_pages(kind, UNCOMPRESSED, lying), "more than");
        refused("parquet", &with_pages(kind, UNCOMPRESSED, indices.clone()), "encoding");
    }
}

/// Finds encodings that have a count of values of their own, and one in which a byte may stand for any number of them.
#[test]
fn encodings_that_count_for_themselves() {
    // Blocks of 128, four miniblocks, the count of values, and the first value, 1.
    let lengths = |count: u64| [varint(128), varint(4), varint(count), zigzag(1), vec![0; 8]].concat();
    let pages = |encoding, bytes: &[u8]| with_pages(BYTE_ARRAY, UNCOMPRESSED, values(2, encoding, bytes));
    for count in [3, 1 << 40, u64::MAX >> 1] {
        refused("parquet", &pages(DELTA_LENGTH_BYTE_ARRAY, &lengths(count)), "lengths");
    }
    refused("parquet", &pages(DELTA_BYTE_ARRAY, &lengths(2)), "encoding");
}

/// Finds a schema whose elements claim more children than there are, or are nested so deeply that a parser runs out of stack.
#[test]
fn schemas_that_never_end() {
    let columns = plain();
    let of_schema = |schema| whole(&[], footer(schema, 2, Vec::new()));
    for children in [1000, i32::MAX, -1, i32::MIN] {
        let lying = [root(children)].into_iter().chain(schema(&columns).into_iter().skip(1)).collect();
        refused(
            "parquet",
            &of_schema(lying),
            if children == 1000 { "not a whole Parquet file" } else { "its nested columns are too many" },
        );
    }
    let nested = |depth| (0..depth).map(|_| Message::default().i32(3, 0).text(4, "in").i32(5, 1));
    let leaf = || schema(&columns).pop().unwrap();
    for depth in [3, 100_000] {
        let schema = [root(1)].into_iter().chain(nested(depth)).chain([leaf()]).collect();
        refused("parquet", &whole(&[], footer(schema, 2, vec![chunk(&columns[1], 2, 4)])), "nested columns");
    }
}

/// Finds a footer whose lists are missing, whose fields have other types than the format's, or that is too deep or too long.
#[test]
fn footers_that_lie() {
    let begin = || Message::default().i32(1, 1).list(2, schema(&plain())).i64(3, 2);
    for kind in [TRUE, I32, BINARY, LIST, STRUCT] {
        refused("parquet", &whole(&[], begin().lying_list(4, kind, 2_000_000_000)), "a list is said");
        refused("parquet", &whole(&[], begin().list(4, vec![]).lying_list(18, kind, 2_000_000_000)), "a list is said");
    }
    // The number of a list's field, with the type of a number: the parser would take what follows for the list.
    refused("parquet", &whole(&[], Message::default().i32(1, 1).i32(2, 1).i64(3, 2)), "type 5");
    refused(
        "parquet",
        &whole(&[], begin().list(4, vec![Message::default(); 1000])),
        "a list of elements without a type",
    );
    let deep = (0..1000).fold(Message::default(), |inner, _| Message::default().message(1, inner));
    refused("parquet", &whole(&[], begin().message(18, deep)), "deep");
    refused("parquet", &whole(&[], begin().text(18, &"x".repeat(9 << 20))), "its footer has");
    refused("parquet", &[b"PAR1", &[0; 8][..], &u32::MAX.to_le_bytes(), b"PAR1"].concat(), "its footer has");
    refused("parquet", &[b"PAR1", &1000u32.to_le_bytes()[..], b"PAR1"].concat(), "more than the file");
}

/// Finds rows without bytes in the file, with columns or without, and columns whose name each row repeats.
#[test]
fn more_rows_than_bytes() {
    let columns = plain();
    for rows in [1 << 20, 1 << 60, i64::MAX, -1] {
        refused("parquet", &file(&columns, rows), "more rows than");
        refused("parquet", &whole(&[], footer(vec![root(0)], rows, Vec::new())), "more rows than");
    }
    let [x, y] = plain();
    refused("parquet", &file(&[Column { name: "x".repeat(1 << 20), ..x }, y], 2), "the name of column 1");
}

/// Finds a thousand columns in the same bytes of the file, which would be inflated a thousand times; and one outside the file.
#[test]
fn columns_in_the_same_place() {
    let large = values(2, PLAIN, &[0; 10_000]);
    let columns: Vec<Column> = (0..1000).map(|at| column(&format!("x{at}"), DOUBLE, large.clone())).collect();
    let chunks = columns.iter().map(|column| chunk(column, 2, 4)).collect();
    refused("parquet", &whole(&large, footer(schema(&columns), 2, chunks)), "or inside another column");
    let columns = plain();
    for begin in [1 << 40, usize::MAX >> 1, 100] {
        let chunks = columns.iter().map(|column| chunk(column, 2, begin)).collect();
        refused("parquet", &whole(&[], footer(schema(&columns), 2, chunks)), "outside the file");
    }
}

/// Finds a long word that a few bytes repeat again and again.
#[test]
fn a_word_without_end() {
    let word = [&60_000u32.to_le_bytes()[..], &[b'x'; 60_000]].concat();
    let rows = 20_000i32;
    let run = [&[0][..], &varint((rows as u64) << 1)].concat();
    let pages = [dictionary(1, &word), values(rows, RLE_DICTIONARY, &run)].concat();
    refused(
        "parquet",
        &file(&[column("x", BYTE_ARRAY, pages.clone()), column("y", BYTE_ARRAY, pages)], rows.into()),
        "bytes of text",
    );
}

/// The program under a memory limit refuses files that ask for gigabytes.
#[cfg(target_os = "linux")]
#[test]
fn they_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let entries = [dictionary(i32::MAX, &[0; 16]), values(2, RLE_DICTIONARY, b"\x01\x03\x01")].concat();
    let children = [root(i32::MAX)].into_iter().chain(schema(&plain()).into_iter().skip(1)).collect();
    let lengths = [varint(128), varint(4), varint(1 << 33), zigzag(1), vec![0; 8]].concat();
    for (name, bytes) in [
        ("dictionary.parquet", with_pages(BYTE_ARRAY, UNCOMPRESSED, entries)),
        ("page.parquet", with_pages(DOUBLE, SNAPPY, page(0, i32::MAX, &[0; 16], 5, about_values(2, PLAIN)))),
        ("schema.parquet", whole(&[], footer(children, 2, Vec::new()))),
        ("lengths.parquet", with_pages(BYTE_ARRAY, UNCOMPRESSED, values(2, DELTA_LENGTH_BYTE_ARRAY, &lengths))),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        explained_in_little_memory(folder.path(), name);
    }
}
