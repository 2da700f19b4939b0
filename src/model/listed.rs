//! Lists of layers as texts of their own.

use crate::activation::Activation;
use crate::error::Error;
use crate::files::json;
use crate::named::Named;
use crate::network::{Layer, from_json};

impl Layer {
    /// The layers of a list in JSON, in the words that `layers` under `[model]` of run.toml has. Whether they fit each other is for [`Network::check`](crate::Network::check).
    ///
    /// ```
    /// use wgrad::{Activation, Layer, Network};
    ///
    /// let layers = Layer::list_from_json(r#"[{ "dense": 256, "activation": "relu" }, { "dense": 10 }]"#)?;
    /// assert_eq!(Network::of_layers(784, layers), Network::classifier(784, &[256], Activation::Relu, 10));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for what is no JSON, and naming the layer by its location, for words that are none of a layer's.
    pub fn list_from_json(list: &str) -> Result<Vec<Layer>, Error> {
        let list = json::from_str(list).map_err(|error| Error::Option(format!("the list of layers: {error}")))?;
        from_json(&list, &|word| Activation::from_word(word).map_err(|error| error.to_string())).map_err(Error::Option)
    }
}
