//! The messages of [ONNX](https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3) that a chain of dense layers takes, with their
//! numbers there; a field that is not declared is skipped.

use prost::bytes::{Buf, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint};
use prost::{Enumeration, Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(string, tag = "3")]
    pub producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OperatorSetId {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StringStringEntry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, tag = "2")]
    pub f: f32,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(bytes = "bytes", tag = "4")]
    pub s: Bytes,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub strings: Vec<Bytes>,
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub kind: i32,
}

/// A node's attributes.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub &'a [Attribute]);

impl<'a> Attributes<'a> {
    pub fn get(self, name: &str) -> Option<&'a Attribute> {
        self.0.iter().find(|attribute| attribute.name == name)
    }

    pub fn integer(self, name: &str, default: i64) -> i64 {
        self.get(name).map_or(default, |attribute| attribute.i)
    }

    pub fn number(self, name: &str, default: f32) -> f32 {
        self.get(name).map_or(default, |attribute| attribute.f)
    }

    /// A list of integers, or one.
    pub fn integers(self, name: &str) -> Option<Vec<i64>> {
        self.get(name).map(|attribute| match attribute.ints.is_empty() {
            true => vec![attribute.i],
            false => attribute.ints.clone(),
        })
    }

    pub fn numbers(self, name: &str) -> &'a [f32] {
        self.get(name).map_or(&[], |attribute| &attribute.floats)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
pub(super) enum AttributeType {
    Undefined = 0,
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Ints = 7,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(enumeration = "DataType", tag = "2")]
    pub data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Also the values of every smaller type: the bits of an f16, a boolean.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub string_data: Vec<Bytes>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "bytes", tag = "9")]
    pub raw_data: Bytes,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    #[prost(enumeration = "DataLocation", tag = "14")]
    pub data_location: i32,
}

/// A tensor's `data_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
pub(super) enum DataType {
    Undefined = 0,
    Float = 1,
    Uint8 = 2,
    Int8 = 3,
    Uint16 = 4,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    String = 8,
    Bool = 9,
    Float16 = 10,
    Double = 11,
    Uint32 = 12,
    Uint64 = 13,
    Bfloat16 = 16,
}

impl DataType {
    pub fn is_float(self) -> bool {
        matches!(self, DataType::Float | DataType::Float16 | DataType::Double | DataType::Bfloat16)
    }

    pub fn is_integer(self) -> bool {
        matches!(
            self,
            DataType::Uint8
                | DataType::Int8
                | DataType::Uint16
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Uint32
                | DataType::Uint64
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
pub(super) enum DataLocation {
    Default = 0,
    External = 1,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub kind: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorType {
    #[prost(enumeration = "DataType", tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(oneof = "Size", tags = "1, 2")]
    pub size: Option<Size>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Size {
    #[prost(int64, tag = "1")]
    Value(i64),
    /// A name: any number.
    #[prost(string, tag = "2")]
    Name(String),
}

/// The most fields of a file outside its tensors' values. A field of two bytes can take a hundred in memory: with no limit, a
/// file could ask for fifty times its length.
const MOST_FIELDS: usize = 1 << 18;

/// A model from a file's bytes. What it takes in memory is bounded by their number.
pub(super) fn decode(bytes: Bytes) -> Result<ModelProto, String> {
    let mut left = MOST_FIELDS;
    count(&bytes, Kind::Model, &mut left)?;
    ModelProto::decode(bytes).map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> String {
    format!("it is not a whole ONNX file: {error}")
}

/// The kinds of messages that contain others.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Shape,
}

impl Kind {
    /// The kind of message in a field, if it is one of these.
    fn of_field(self, tag: u32) -> Option<Kind> {
        Some(match (self, tag) {
            (Kind::Model, 7) => Kind::Graph,
            (Kind::Graph, 1) => Kind::Node,
            (Kind::Node, 5) => Kind::Attribute,
            (Kind::Graph | Kind::Attribute, 5) => Kind::Tensor,
            (Kind::Graph, 11 | 12) => Kind::Value,
            (Kind::Value, 2) => Kind::Type,
            (Kind::Type, 1) => Kind::TensorType,
            (Kind::TensorType, 2) => Kind::Shape,
            _ => return None,
        })
    }
}

/// Walks a message and keeps nothing: an error once it has more fields than are left.
fn count(mut bytes: &[u8], kind: Kind, left: &mut usize) -> Result<(), String> {
    let mut take = |fields: usize| {
        *left = left.checked_sub(fields).ok_or_else(|| {
            format!("it has more than {MOST_FIELDS} fields besides its tensors' values: too many for a model")
        })?;
        Ok::<(), String>(())
    };
    let mut inner = Vec::new();
    while bytes.has_remaining() {
        let (tag, wire) = decode_key(&mut bytes).map_err(broken)?;
        let length = match wire {
            WireType::Varint => decode_varint(&mut bytes).map(|_| 0).map_err(broken)?,
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => decode_varint(&mut bytes).map_err(broken)?,
            WireType::StartGroup | WireType::EndGroup => return Err(broken("it has a group, and ONNX has none")),
        };
        let field = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
        let Some((field, rest)) = field else {
            return Err(broken(format!("a field has {length} bytes, and {} are left", bytes.len())));
        };
        bytes = rest;
        match (kind, tag) {
            // Values: they take no more memory than bytes.
            (Kind::Tensor, 4 | 9 | 10) => {}
            // Lists of numbers of a byte or more, which take four or eight each.
            (Kind::Tensor, 1 | 5 | 7) | (Kind::Attribute, 8) => take(1 + field.len())?,
            _ => take(1)?,
        }
        if let Some(kind) = kind.of_field(tag).filter(|_| wire == WireType::LengthDelimited) {
            inner.push((kind, field));
        }
    }
    inner.into_iter().try_for_each(|(kind, field)| count(field, kind, left))
}
