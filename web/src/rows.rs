//! Rows with their targets.

use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::*;
use wgrad::{Dataset, Error, Feature, ReadOptions, Scaling, Vocabulary};

use crate::thrown;

/// How a table is read.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct TableOptions {
    label: Option<String>,
    regression: bool,
    ignore: Vec<String>,
    categorical: Vec<String>,
    /// What a missing value becomes: mean, zero, or a number.
    fill: Option<String>,
}

fn inputs<X: Feature>(features: &[X], width: usize) -> Result<Dataset, Error> {
    if width == 0 || !features.len().is_multiple_of(width) {
        return Err(Error::Data(format!("{} features are no rows of {width}", features.len())));
    }
    Dataset::inputs(features.chunks(width))
}

/// A set of rows.
#[wasm_bindgen]
pub struct Rows(pub(crate) Dataset);

#[wasm_bindgen]
impl Rows {
    /// Images and their labels in the bytes of two IDX files, gzipped or not, as MNIST has them.
    #[wasm_bindgen(js_name = ofIdx)]
    pub fn of_idx(images: &[u8], labels: &[u8]) -> Result<Rows, JsError> {
        Dataset::from_idx_bytes(images, labels).map(Rows).map_err(thrown)
    }

    /// A table in the bytes of a text; the options are an object of JSON.
    #[wasm_bindgen(js_name = ofTable)]
    pub fn of_table(bytes: &[u8], options: &str) -> Result<Rows, JsError> {
        let TableOptions { label, regression, ignore, categorical, fill } = serde_json::from_str(options)
            .map_err(|error| thrown(Error::Option(format!("the options of a table: {error}"))))?;
        let fill = fill.map(|fill| fill.parse()).transpose().map_err(thrown)?;
        let options = ReadOptions { label, regression, ignore, categorical, fill, ..ReadOptions::default() };
        Dataset::from_bytes(bytes, &options).map(Rows).map_err(thrown)
    }

    /// A text as rows of `context` characters, of which each is to predict the next.
    #[wasm_bindgen(js_name = ofText)]
    pub fn of_text(text: &str, context: usize) -> Result<Rows, JsError> {
        let options = ReadOptions { context: Some(context), ..ReadOptions::default() };
        Dataset::from_text(text, &options).map(Rows).map_err(thrown)
    }

    /// Rows of numbers with a class each; without labels, rows to predict on.
    #[wasm_bindgen(js_name = ofNumbers)]
    pub fn of_numbers(features: Vec<f32>, width: usize, labels: Option<Vec<u32>>) -> Result<Rows, JsError> {
        let set = match labels {
            Some(labels) => Dataset::from_f32(features, width, labels),
            None => inputs(&features, width),
        };
        set.map(Rows).map_err(thrown)
    }

    /// Rows of bytes with a class each; without labels, rows to predict on.
    #[wasm_bindgen(js_name = ofBytes)]
    pub fn of_bytes(features: Vec<u8>, width: usize, labels: Option<Vec<u32>>) -> Result<Rows, JsError> {
        let set = match labels {
            Some(labels) => Dataset::from_u8(features, width, labels),
            None => inputs(&features, width),
        };
        set.map(Rows).map_err(thrown)
    }

    /// The rows to train on, and a fraction of all rows to validate on; of a text its last part.
    pub fn split(&self, fraction: f64, seed: u32) -> Result<Vec<Rows>, JsError> {
        let (train, validation) = self.0.split(fraction, seed.into()).map_err(thrown)?;
        Ok(vec![Rows(train), Rows(validation)])
    }

    /// The same rows, of which each feature has a mean of 0 and a standard deviation of 1.
    pub fn standardized(&self) -> Result<Rows, JsError> {
        let scaling = Scaling::standardize(&self.0);
        self.0.clone().with_scaling(scaling).map(Rows).map_err(thrown)
    }

    /// Some of the rows, from one on.
    pub fn slice(&self, from: usize, to: usize) -> Result<Rows, JsError> {
        self.0.select(from..to.min(self.0.rows())).map(Rows).map_err(thrown)
    }

    /// The features as numbers, row by row, as they were before any scaling.
    pub fn features(&self) -> Result<Vec<f32>, JsError> {
        let rows: Result<Vec<Vec<f32>>, Error> = (0..self.0.rows()).map(|row| self.0.row(row)).collect();
        rows.map(|rows| rows.concat()).map_err(thrown)
    }

    /// The class of each row, or the token that follows each.
    pub fn labels(&self) -> Vec<u32> {
        self.0.labels().to_vec()
    }

    /// What is known of the set, as JSON.
    pub fn about(&self) -> String {
        let set = &self.0;
        let image = set.image_shape().map(|image| [image.height, image.width, image.channels]);
        json!({
            "rows": set.rows(), "width": set.width(), "classes": set.classes(), "classNames": set.class_names(), "image": image,
            "vocabulary": set.text_vocabulary().map(Vocabulary::len), "notes": set.notes(),
            "columns": set.table().iter().map(|column| &column.name).collect::<Vec<_>>(),
        })
        .to_string()
    }
}
