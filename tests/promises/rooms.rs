//! The rooms of `src/`: each imports from where a thing is defined, none knows a room that knows it, the core can run where nothing may block, and
//! no file or function has become several things.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Rooms whose own files know each other: every op of a graph knows the list of ops, a layer may hold a list of layers, and the passes of a plan hand on
/// each other's results. Circles between their files are allowed, and no others.
const LEFT_OUT: &[&str] = &["graph/", "network/", "plan/"];

/// The most lines of a file, and of a function but for these.
const MOST_LINES: usize = 500;
const MOST_OF_FUNCTION: usize = 60;
const LONGER: &[(&str, &str)] = &[("fit/epochs.rs", "run"), ("run/runner.rs", "run_part")];

/// What a browser has not: names, and where they may be used all the same. Everything else is awaited, and asks the host for time and threads.
const BLOCKING: &[(&str, &[&str])] = &[
    (
        "block_on",
        &[
            "gpu/blocking.rs",
            "host/",
            "generation.rs",
            "predictor/blocking.rs",
            "profile.rs",
            "selftest/",
            "trainer/blocking.rs",
        ],
    ),
    ("with_threads", &["host/", "trainer/blocking.rs"]),
    ("thread", &["cli/", "host/cache.rs", "host/native.rs", "selftest/"]),
    ("sleep", &["cli/", "host/", "selftest/"]),
    ("Instant", &["cli/", "host/", "selftest/"]),
    ("SystemTime", &["cli/", "tensorboard/"]),
    ("fs", &["checkpoint/folder.rs", "cli/", "data/", "files/", "host/", "selftest/", "tensorboard/"]),
    // The room that reads and writes files: a user's rows, models, checkpoints and WGSL, each by the path that the user gave. `fit/checkpoints.rs`
    // has only a path's folder of it. Caches are the host's.
    (
        "files",
        &["checkpoint/", "cli/", "data/", "fit/checkpoints.rs", "host/cache.rs", "model/", "selftest/", "wgsl.rs"],
    ),
    // Waits for another thread. The reader of windows waits for the one that it started on the threads which a face handed to it.
    ("recv", &["cli/", "run/stream.rs"]),
    ("recv_timeout", &["cli/", "run/stream.rs", "selftest/"]),
    ("join", &["cli/", "host/", "run/stream.rs"]),
    ("Condvar", &[]),
    ("Barrier", &[]),
];

/// A module's path from the crate on: `["cli", "report", "page"]`.
type Module = Vec<String>;

/// A path that a file names: `crate::gpu::Gpu`, `super::figures::figure`.
struct Named {
    /// From the crate on, with what is named in the module.
    path: Vec<String>,
    line: usize,
    /// Whether the line only passes the name on (`pub use`).
    passes_on: bool,
}

struct Source {
    /// From `src/` on.
    file: String,
    module: Module,
    names: Vec<Named>,
    /// What it has of [`BLOCKING`] outside of its tests, with the lines.
    blocking: Vec<(&'static str, usize)>,
    /// The functions, with their first lines and their numbers of lines.
    functions: Vec<(String, usize, usize)>,
    lines: usize,
}

/// All of `src/`, but the crate's and the program's roots.
fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(read)
}

fn read() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    list(&root, &mut files);
    let relative = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    let modules: BTreeSet<Module> = files.iter().map(|path| module_of(&relative(path))).collect();
    let of_file = |path: &PathBuf| {
        let (file, text) = (relative(path), std::fs::read_to_string(path).unwrap());
        let module = module_of(&file);
        let tree = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut reader =
            Reader { module: module.clone(), inner: Vec::new(), is_test: false, modules: &modules, source: None };
        reader.source = Some(Source {
            file,
            module,
            names: vec![],
            blocking: vec![],
            functions: vec![],
            lines: text.lines().count(),
        });
        reader.visit_file(&tree);
        reader.source.unwrap()
    };
    files.iter().filter(|path| !matches!(relative(path).as_str(), "lib.rs" | "main.rs")).map(of_file).collect()
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

fn module_of(file: &str) -> Module {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(String::from).filter(|part| part != "lib" && part != "main").collect()
}

fn is_left_out(file: &str) -> bool {
    LEFT_OUT.iter().any(|known| file.starts_with(known))
}

/// Collects the paths that a file names.
struct Reader<'a> {
    module: Module,
    /// Modules inside the file that are being read.
    inner: Vec<String>,
    /// Whether they are its tests.
    is_test: bool,
    modules: &'a BTreeSet<Module>,
    source: Option<Source>,
}

impl Reader<'_> {
    /// A path as it is written here, as one from the crate on. None for a path to something else than this crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut here = [self.module.clone(), self.inner.clone()].concat();
        let own = |here: &[String]| self.modules.contains(&[here, &path[..1]].concat());
        match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" | "super" => {}
            _ if path.len() > 1 && own(&here) => return Some([here, path.to_vec()].concat()),
            _ => return None,
        }
        let mut rest = path;
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "super" => drop(here.pop()),
                "self" => {}
                _ => break,
            }
            rest = others;
        }
        Some([here, rest.to_vec()].concat())
    }

    /// Notes what is used here of [`BLOCKING`], outside of tests.
    fn take_blocking(&mut self, found: impl Iterator<Item = &'static str>, line: usize) {
        let Some(source) = self.source.as_mut().filter(|_| !self.is_test) else { return };
        source.blocking.extend(found.map(|name| (name, line)));
    }

    fn take(&mut self, path: &[String], line: usize, passes_on: bool) {
        self.take_blocking(blocking(path), line);
        let Some(path) = self.absolute(path).filter(|path| !path.is_empty()) else { return };
        if path[0] == "files" && self.module[0] != "files" {
            self.take_blocking(std::iter::once("files"), line);
        }
        self.source.iter_mut().for_each(|source| source.names.push(Named { path: path.clone(), line, passes_on }));
    }

    fn take_tree(&mut self, tree: &syn::UseTree, before: &[String], passes_on: bool) {
        let line = tree.span().start().line;
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.take_tree(&path.tree, &with(&path.ident), passes_on),
            syn::UseTree::Name(name) if name.ident == "self" => self.take(before, line, passes_on),
            syn::UseTree::Name(name) => self.take(&with(&name.ident), line, passes_on),
            syn::UseTree::Rename(name) => self.take(&with(&name.ident), line, passes_on),
            syn::UseTree::Glob(_) => self.take(before, line, passes_on),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.take_tree(tree, before, passes_on)),
        }
    }

    /// Paths among the tokens of a macro, which are no tree.
    fn take_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.take_tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let (mut path, line) = (vec![first.to_string()], first.span().start().line);
                    while let [TokenTree::Punct(a), TokenTree::Punct(b), TokenTree::Ident(next), ..] = &tokens[at + 1..]
                        && a.as_char() == ':'
                        && b.as_char() == ':'
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    self.take(&path, line, false);
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn function(&mut self, name: &syn::Ident, span: proc_macro2::Span) {
        let (first, lines) = (span.start().line, span.end().line + 1 - span.start().line);
        self.source.iter_mut().for_each(|source| source.functions.push((name.to_string(), first, lines)));
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.take_tree(&item.tree, &[], !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.take(&segments, path.span().start().line, false);
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        // A text's `join` has an argument, a thread's has none.
        let waits = match call.method.to_string().as_str() {
            "recv" if call.args.is_empty() => Some("recv"),
            "recv_timeout" => Some("recv_timeout"),
            "join" if call.args.is_empty() => Some("join"),
            _ => None,
        };
        self.take_blocking(waits.into_iter(), call.method.span().start().line);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.take_tokens(called.tokens.clone());
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_some() {
            let before = self.is_test;
            self.is_test |= item.attrs.iter().any(is_test_only);
            self.inner.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.inner.pop();
            self.is_test = before;
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.sig.fn_token.span.join(item.block.span()).unwrap_or(item.span()));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, item.sig.fn_token.span.join(item.block.span()).unwrap_or(item.span()));
        visit::visit_impl_item_fn(self, item);
    }
}

/// Whether an attribute is `#[cfg(test)]`.
fn is_test_only(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
}

/// What a path names of [`BLOCKING`].
fn blocking(path: &[String]) -> impl Iterator<Item = &'static str> {
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    let module = match words[..] {
        ["std", .., "fs"] | ["std", "fs", ..] | ["std", "os", _, "fs", ..] | ["fs", _, ..] => "fs",
        ["std", "thread", ..] | ["thread", _, ..] => "thread",
        ["pollster", ..] => "block_on",
        _ => "",
    };
    // Modules by their paths, waits by their calls, all others wherever they are named.
    const ELSEWHERE: [&str; 6] = ["fs", "thread", "files", "recv", "recv_timeout", "join"];
    let is_named = move |name: &str| name == module || !ELSEWHERE.contains(&name) && words.contains(&name);
    BLOCKING.iter().map(|&(name, _)| name).filter(move |name| is_named(name))
}

/// Which module imports which, and one line where it does.
type Arrows = BTreeMap<(String, String), String>;

/// The modules by what they pass on: a name in one, as it is where it is defined.
struct Defined {
    modules: BTreeSet<Module>,
    passed_on: BTreeMap<Vec<String>, Vec<String>>,
}

impl Defined {
    fn of(sources: &[Source]) -> Self {
        let modules = sources.iter().map(|source| source.module.clone()).collect();
        let mut passed_on = BTreeMap::new();
        for source in sources {
            for name in source.names.iter().filter(|name| name.passes_on) {
                let last = name.path.last().unwrap().clone();
                passed_on.insert([source.module.clone(), vec![last]].concat(), name.path.clone());
            }
        }
        Defined { modules, passed_on }
    }

    /// The module that has what a path names. None for a name of the crate's root.
    fn module(&self, path: &[String]) -> Option<Module> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let length = (1..=path.len()).rev().find(|&length| self.modules.contains(&path[..length]))?;
            match path.get(..length + 1).and_then(|name| self.passed_on.get(name)) {
                Some(other) if *other != path => path = [other.clone(), path[length + 1..].to_vec()].concat(),
                _ => return Some(path[..length].to_vec()),
            }
        }
        None
    }
}

/// The arrows between rooms, and between the files of each room.
fn arrows(sources: &[Source]) -> (Arrows, BTreeMap<String, Arrows>) {
    let defined = Defined::of(sources);
    let (mut rooms, mut files) = (Arrows::new(), BTreeMap::<String, Arrows>::new());
    for source in sources {
        for name in &source.names {
            let Some(to) = defined.module(&name.path) else { continue };
            let place = format!("src/{}:{} names {}", source.file, name.line, name.path.join("::"));
            let is_own_child = name.passes_on && to.starts_with(&source.module);
            if source.module[0] != to[0] {
                rooms.entry((source.module[0].clone(), to[0].clone())).or_insert(place);
            } else if source.module != to && !is_own_child && !is_left_out(&source.file) {
                let own = files.entry(to[0].clone()).or_default();
                own.entry((source.module.join("::"), to.join("::"))).or_insert(place);
            }
        }
    }
    (rooms, files)
}

/// The shortest circle through each room or file that is in one, spelled out; each circle once.
fn circles(arrows: &Arrows) -> Vec<String> {
    let nodes: BTreeSet<&String> = arrows.keys().flat_map(|(from, to)| [from, to]).collect();
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for &start in &nodes {
        let mut before: BTreeMap<&String, &String> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        'search: while let Some(at) = queue.pop_front() {
            for (from, to) in arrows.keys().filter(|(from, _)| from == at) {
                if to == start {
                    let mut way = vec![to, from];
                    while way[way.len() - 1] != start {
                        way.push(before[way[way.len() - 1]]);
                    }
                    way.reverse();
                    if told.insert(way.iter().copied().collect::<BTreeSet<_>>()) {
                        let arrow = |pair: &[&String]| {
                            let place = &arrows[&(pair[0].clone(), pair[1].clone())];
                            format!("    {} → {}: {place}", pair[0], pair[1])
                        };
                        found.push(way.windows(2).map(arrow).collect::<Vec<_>>().join("\n"));
                    }
                    break 'search;
                }
                if !before.contains_key(to) {
                    before.insert(to, from);
                    queue.push_back(to);
                }
            }
        }
    }
    found
}

/// Finds two rooms that import each other: neither can be read, tested or replaced without the other.
#[test]
fn no_circle_is_between_rooms() {
    let (rooms, _) = arrows(sources());
    assert!(rooms.len() > 50, "only {} arrows were found", rooms.len());
    let circles = circles(&rooms);
    assert!(circles.is_empty(), "{} circles between rooms:\n{}", circles.len(), circles.join("\n\n"));
}

/// Finds two files of a room that import each other.
#[test]
fn no_circle_is_between_the_files_of_a_room() {
    let (_, files) = arrows(sources());
    assert!(files.values().map(BTreeMap::len).sum::<usize>() > 100);
    let circles: Vec<String> = files.values().flat_map(circles).collect();
    assert!(circles.is_empty(), "{} circles between files of a room:\n{}", circles.len(), circles.join("\n\n"));
}

/// Finds an import through `lib.rs` or through a room that passes on another room's name: both hide the room that a file leans on.
#[test]
fn everything_is_imported_from_the_room_where_it_is_defined() {
    let sources = sources();
    let defined = Defined::of(sources);
    let mut wrong = Vec::new();
    for source in sources {
        for name in &source.names {
            let from =
                |room: &str| format!("src/{}:{}: {} is from {room}", source.file, name.line, name.path.join("::"));
            match defined.module(&name.path) {
                None => wrong.push(from("lib.rs")),
                Some(module) if module[0] != name.path[0] => wrong.push(from(&module[0])),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "imported through another room:\n{}", wrong.join("\n"));
}

/// Finds a room that passes on another room's names. Only the crate's public faces may: `lib.rs`, and `profile`.
#[test]
fn no_room_passes_on_the_names_of_another() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.file != "profile.rs") {
        let others = source.names.iter().filter(|name| name.passes_on && name.path[0] != source.module[0]);
        wrong.extend(others.map(|name| format!("src/{}:{}: {}", source.file, name.line, name.path.join("::"))));
    }
    assert!(wrong.is_empty(), "names of another room are passed on:\n{}", wrong.join("\n"));
}

/// A wait, a thread, a clock or a file in the core, which a browser has not: a build for it would need a core of its own.
#[test]
fn only_faces_block_and_only_the_host_has_threads_and_a_clock() {
    let mut wrong = Vec::new();
    for source in sources() {
        for &(name, line) in &source.blocking {
            let (_, allowed) = BLOCKING.iter().find(|(other, _)| *other == name).unwrap();
            if !allowed.iter().any(|place| source.file.starts_with(place)) {
                wrong.push(format!("src/{}:{line} names {name}: it may be named in {allowed:?}", source.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (name, allowed) in BLOCKING {
        for place in *allowed {
            let mut there = sources().iter().filter(|source| source.file.starts_with(place));
            let is_named = there.any(|source| source.blocking.iter().any(|(other, _)| other == name));
            assert!(is_named, "src/{place} does not name {name}: take it off the list");
        }
    }
}

/// Finds a file or a function that has become several things.
#[test]
fn files_and_functions_are_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.lines > MOST_LINES {
            wrong.push(format!("src/{} has {} lines: at most {MOST_LINES}", source.file, source.lines));
        }
        for (name, first, lines) in source.functions.iter().filter(|(.., lines)| *lines > MOST_OF_FUNCTION) {
            if !LONGER.contains(&(&source.file, name)) {
                wrong
                    .push(format!("src/{}:{first}: {name} has {lines} lines: at most {MOST_OF_FUNCTION}", source.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
