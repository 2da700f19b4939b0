//! Parquet tables: the promises about files, in a program that reads them as well. The others do not depend on the feature.
// What these modules have for other promises is not used here.
#![allow(dead_code)]

#[path = "promises/data.rs"]
mod data;
#[path = "promises/formats.rs"]
mod formats;
#[path = "promises/hostile.rs"]
mod hostile;
#[path = "promises/support.rs"]
mod support;
