//! How the columns of a table were used.

/// How a column of a table was used.
#[derive(Clone, Debug, PartialEq)]
pub struct TableColumn {
    /// Its name, or its number from 1.
    pub name: String,
    /// Its role.
    pub role: ColumnRole,
    /// Whether its cells are numbers; else they are words.
    pub is_numeric: bool,
    /// The number of cells that have a value.
    pub cells: u64,
    /// The number of cells that have none.
    pub missing: u64,
}

/// The role of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnRole {
    /// It became one feature, or one for each of its words.
    Feature,
    /// It is the target, or one of several.
    Target,
    /// It was left out: by an option, or because it only numbers or names the rows.
    LeftOut,
}
