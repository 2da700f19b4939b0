//! wgrad in a browser: what the package of JavaScript in `package/` calls, from a worker. Nothing here blocks, and nothing keeps a borrow while it awaits the device but of what
//! no other call uses.

mod options;
mod rows;
mod trainer;

use wasm_bindgen::prelude::*;

/// Has a panic's words in the browser's console: what else a page sees of it is "unreachable".
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(words: &str);
}

/// An error as JavaScript has it, with the library's words.
fn thrown(error: wgrad::Error) -> JsError {
    JsError::new(&error.to_string())
}
