//! Writes the JavaScript beside a module that was built with wasm-bindgen, as its own command `wasm-bindgen --target web` does, whose library this is.
//!
//!     wgrad-web-bind MODULE.wasm FOLDER

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder] = &arguments[..] else {
        eprintln!("usage: wgrad-web-bind MODULE.wasm FOLDER");
        std::process::exit(2);
    };
    let written = wasm_bindgen_cli_support::Bindgen::new()
        .web(true)
        .and_then(|bindgen| bindgen.input_path(module).typescript(false).remove_name_section(true).generate(folder));
    if let Err(error) = written {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}
