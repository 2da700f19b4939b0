//! Groups of weights as JSON, in the words of run.toml.

use serde_json::{Value, json};

use super::table::Table;
use crate::error::Error;
use crate::optimizer::ParameterGroup;

/// A list of tables, as `[[optimizer.groups]]` has them; null for no groups.
pub(super) fn to_json(groups: &[ParameterGroup]) -> Value {
    let group = |group: &ParameterGroup| json!({ "match": group.matches, "weight_decay": group.weight_decay, "lr_scale": group.lr_scale, "frozen": group.frozen });
    if groups.is_empty() { Value::Null } else { groups.iter().map(group).collect() }
}

/// The reverse.
///
/// # Errors
///
/// [`Error::Option`] with the key that is missing, or has a value that cannot be used.
pub(crate) fn from_json(list: &Value) -> Result<Vec<ParameterGroup>, Error> {
    let list = match list {
        Value::Null => return Ok(vec![]),
        Value::Array(list) => list,
        other => return Err(Error::Option(format!("groups are {other}: they must be a list of tables"))),
    };
    let group = |value: &Value| {
        let table = Table::of("groups", value)?;
        let words = value["match"].as_array();
        let words = words.and_then(|words| words.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        let words = words.ok_or_else(|| Error::Option("match of groups must be a list of words".into()))?;
        let mut group = ParameterGroup::new(words);
        group.weight_decay = table.optional("weight_decay").map(|_| table.number("weight_decay")).transpose()?;
        group.lr_scale = table.optional("lr_scale").map_or(Ok(1.0), |_| table.number("lr_scale"))?;
        group.frozen = table.optional("frozen").map_or(Ok(false), |_| table.switch("frozen"))?;
        Ok(group)
    };
    list.iter().map(group).collect()
}
