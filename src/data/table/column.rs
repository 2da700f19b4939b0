//! What became of the columns of a table.

/// What became of a column of a table that was learned from.
#[derive(Clone, Debug, PartialEq)]
pub struct TableColumn {
    /// Its name, or its number from 1.
    pub name: String,
    /// What it is for.
    pub role: ColumnRole,
    /// Whether its cells are numbers; else they are words.
    pub is_numeric: bool,
    /// Cells that have a value.
    pub cells: u64,
    /// Cells that have none.
    pub missing: u64,
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnRole {
    /// It became one feature, or one for each of its words.
    Feature,
    /// It is to be learned.
    Target,
    /// It was left out, as asked, or as it only counts or names the rows.
    LeftOut,
}
